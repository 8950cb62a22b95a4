"""Content that differs from what a plan found, or that changes while it is read, is refused wherever it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.assets import fetch as fetching
from harness.assets import remote
from harness.assets.asset import Asset
from harness.assets.fetch import fetch, identify, opened, planned_contents
from harness.assets.sources import PlannedContent, Sources
from harness.corpora import corpus
from harness.corpora.blocks import build_blocks
from harness.corpora.corpus import survey
from harness.errors import ChangedInputError
from harness.tasks import task_data
from harness.tasks.task_data import load_task
from harness.trials import load
from tests.models.tiny import tiny_tokenizer
from tests.trials.world import World, make_world, verb_task

FILES = {"a.txt": "one", "b/c.txt": "two", "d.txt": "three"}


def write(folder: Path, files: dict[str, str]) -> Asset:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return Asset.model_validate({"sources": [{"path": str(folder)}]})


def plan(asset: Asset, sources: Sources) -> Sources:
    """The sources of a run that was planned now."""
    return replace(sources, planned=planned_contents({asset: identify(asset, sources)}, sources))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"a.txt": "won"}, "a.txt holds other content"),
        ({"b/c.txt": None}, "b/c.txt is gone"),
        ({"e.txt": "four"}, "e.txt is new"),
        ({"a.txt": "won", "d.txt": None}, "a.txt holds other content, d.txt is gone"),
        ({"a.txt": "", "b/c.txt": "", "d.txt": "", "e.txt": ""}, "d.txt holds other content and 1 more"),
    ],
)
def test_the_files_that_changed_since_the_plan_are_named(
    changes: dict[str, str | None], said: str, tmp_path: Path, sources: Sources
) -> None:
    asset = write(tmp_path / "here", FILES)
    planned = plan(asset, sources)
    assert fetch(asset, planned).content.keys() == FILES.keys()
    for name, content in changes.items():
        (tmp_path / "here" / name).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "here" / name).write_text(content)
    with pytest.raises(ChangedInputError) as refused:
        fetch(asset, planned)
    assert said in str(refused.value)
    assert "run the command again" in str(refused.value)
    assert fetch(asset, plan(asset, sources)).path == tmp_path / "here"  # what the advice leads to


def test_a_folder_that_takes_the_place_of_a_planned_commit_is_refused(
    tmp_path: Path, sources: Sources
) -> None:
    asset = Asset.model_validate({"sources": [{"hub": "some/model"}, {"path": str(tmp_path / "later")}]})
    write(tmp_path / "later", FILES)
    planned = replace(sources, planned={asset: PlannedContent("some/model@" + "a" * 40)})
    with pytest.raises(ChangedInputError, match=r"a\.txt is new"):
        fetch(asset, planned)


def test_files_that_a_web_server_replaced_are_refused(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = Asset.model_validate({"sources": [{"url": "https://example.org/text"}], "include": ["sw.txt"]})
    for module in (fetching, remote):
        monkeypatch.setattr(module, "web_identity", lambda *_: "now")
    assert remote.open_folder(asset, replace(sources, planned={asset: PlannedContent("now")})).sha256 == "now"
    with pytest.raises(ChangedInputError, match=r"https://example.org/text: sw\.txt changed"):
        remote.open_folder(asset, replace(sources, planned={asset: PlannedContent("then")}))


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_is_replaced_while_it_is_read_is_named(
    fails: bool, tmp_path: Path, sources: Sources
) -> None:
    asset = write(tmp_path / "here", FILES)

    def read() -> None:
        with opened(asset, sources) as folder:
            (folder.path / "a.txt").write_text("half")
            if fails:
                raise ValueError("half a file is no file")

    with pytest.raises(ChangedInputError, match=r"a\.txt holds other content: changed while it was read"):
        read()


def _blocks(world: World, sources: Sources) -> object:
    return build_blocks(world.corpus, tiny_tokenizer(), "f" * 64, 16, sources)


def _survey(world: World, sources: Sources) -> object:
    return survey(world.corpus, (), sources)


def _teacher(world: World, sources: Sources) -> object:
    return load.load_teacher(world.teacher, sources)


def _rows(world: World, sources: Sources) -> object:
    return load_task(verb_task(world.folder / "data"), ("en",), sources)


@pytest.mark.parametrize(
    ("read", "module", "reader", "name"),
    [
        (_blocks, corpus, "documents_of", "corpus/text.txt"),
        (_survey, corpus, "documents_of", "corpus/text.txt"),
        (_rows, task_data, "read_rows", "data/train.jsonl"),
        (_teacher, load, "load_folder", "teacher/model.safetensors"),
    ],
)
def test_nothing_that_changed_while_it_was_read_is_used_or_kept(
    read: Callable[[World, Sources], object],
    module: ModuleType,
    reader: str,
    name: str,
    tmp_path: Path,
    sources: Sources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world(tmp_path / "world")
    path = world.folder / name

    def replacing(result: Any) -> Any:
        """Replaces the file once it has been read in part or in full."""
        if isinstance(result, Iterator):
            return (replacing(one) if number == 0 else one for number, one in enumerate(result))
        path.write_bytes(path.read_bytes()[:-1] + b" ")
        return result

    original = getattr(module, reader)
    monkeypatch.setattr(module, reader, lambda *arguments: replacing(original(*arguments)))
    with pytest.raises(ChangedInputError, match="changed while it was read"):
        read(world, sources)
    derived = [
        path
        for folder in ("blocks", "surveys", "rows")
        for path in (sources.cache_dir / folder).rglob("*")
        if path.is_file() and path.stat().st_size
    ]
    assert derived == []
