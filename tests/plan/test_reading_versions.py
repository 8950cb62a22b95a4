"""Code that reads files differently asks another question: a raised version renews ids and cached text alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assets.sources import Sources
from harness.corpora.blocks import build_blocks
from harness.plan import Plan
from harness.records import reading
from harness.records.trial import Kind
from harness.tasks.encoded import encode_rows
from harness.tasks.task_data import load_task
from tests.models.tiny import tiny_tokenizer
from tests.plan.questions import edited, put
from tests.trials.world import make_world, verb_task

READERS: dict[str, set[Kind]] = {
    "cleaning": {"prepare", "distil", "analyse"},
    "packing": {"prepare", "distil", "analyse"},
    "rows": {"prepare", "distil", "analyse", "finetune"},  # the corpus leaves out what tasks evaluate on
    "encoding": {"finetune"},
}
"""Version -> kinds of trial that read such files themselves."""


def _plan(folder: Path) -> Plan:
    return edited(folder, put("analyse", {"enabled": True, "relation_heads": 4}))


def test_no_version_has_a_name_in_ids_before_it_is_raised(tmp_path: Path) -> None:
    assert not [key for trial in _plan(tmp_path).trials for key in trial.data if key.startswith("code/")]


@pytest.mark.parametrize("name", READERS)
def test_a_raised_version_is_part_of_the_ids_of_those_that_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _plan(tmp_path)
    raised = str(reading.VERSIONS[name] + 1)
    monkeypatch.setitem(reading.VERSIONS, name, int(raised))
    after = _plan(tmp_path)
    assert {t.kind for t in after.trials if t.data.get(f"code/{name}") == raised} == READERS[name]
    old = before.by_id
    for trial in after.trials:
        reads = trial.kind in READERS[name] or any(parent not in old for parent in trial.makers)
        assert (trial.id not in old) == reads, trial.title
        assert trial.expected_id() == trial.id


@pytest.mark.parametrize("name", READERS)
def test_a_raised_version_renews_what_is_cached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "world")
    task = verb_task(tmp_path / "task")
    corpus = world.corpus.model_copy(update={"exclude": (task,)})
    sources = Sources(tmp_path / "cache")

    def derived() -> set[str]:
        build_blocks(corpus, tiny_tokenizer(), "f" * 64, 16, sources)
        data = load_task(task, ("en",), sources)
        train = data.frames["train", "en"]
        encode_rows(train, data.data_ids["train", "en"], tiny_tokenizer(), "f" * 64, 16, sources.cache_dir)
        return {path.relative_to(sources.cache_dir).as_posix() for path in sources.cache_dir.rglob("*")}

    first = derived()
    assert derived() == first
    monkeypatch.setitem(reading.VERSIONS, name, reading.VERSIONS[name] + 1)
    assert derived() > first
