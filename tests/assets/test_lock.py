"""Hub inputs that a spec leaves open are resolved once and read at that commit ever after."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import HubStandIn
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from harness.assets.asset import Asset
from harness.assets.fetch import fetch, identify
from harness.assets.lock import lock_path, open_sources, read_lock
from harness.assets.sources import Sources
from harness.cli.planned.from_spec import LoadedPlan, load_plan, note_lock
from harness.errors import AssetError, InputError
from harness.plan import Plan
from tests.spec.writing import write_spec

ON_HUB = (
    "{data: {sources: [{path: task}], sha256: SHA}}".replace("SHA", "ab" * 32),
    "{data: {sources: [{hub: org/pairs, repo_type: dataset}]}}",
)
OPEN = Asset.model_validate(
    {"sources": [{"hub": "org/pairs", "repo_type": "dataset"}], "include": ["*.jsonl"]}
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """An empty hub, and an empty cache of huggingface_hub's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    stand_in = HubStandIn()
    set_client_factory(stand_in.client)
    yield stand_in
    set_client_factory(default_client_factory)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path, ON_HUB)


def load(spec: Path, sources: Sources, update: bool = False) -> LoadedPlan:
    return load_plan(spec, [], [], sources, update)


def pairs(word: str) -> dict[str, bytes]:
    """Files of the task in `tests/spec/writing.py`, each with a row of its own."""
    rows = {split: {"a": f"{word} {split}", "y": 1} for split in ("train", "dev", "test")}
    return {f"{split}.jsonl": json.dumps(row).encode() for split, row in rows.items()}


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


def rows(sources: Sources) -> bytes:
    return (fetch(OPEN, sources).path / "train.jsonl").read_bytes()


def test_a_run_pins_what_the_spec_leaves_open_and_later_pushes_change_nothing(
    hub: HubStandIn, spec: Path, sources: Sources
) -> None:
    first = hub.push("org/pairs", pairs("one"))
    loaded = load(spec, sources)
    assert "pins 1 hub revision" in note_lock(spec, loaded)
    assert read_lock(spec) == {"datasets/org/pairs@main": first}
    assert rows(loaded.sources) == pairs("one")["train.jsonl"]
    hub.push("org/pairs", pairs("two"))
    again = load(spec, sources)
    assert ids(again.plan) == ids(loaded.plan)
    assert rows(again.sources) == pairs("one")["train.jsonl"]
    assert note_lock(spec, again) == ""


def test_a_locked_plan_asks_nobody(hub: HubStandIn, spec: Path, sources: Sources) -> None:
    hub.push("org/pairs", {"train.jsonl": b"one"})
    loaded = load(spec, sources)
    note_lock(spec, loaded)
    hub.asked.clear()
    assert ids(load(spec, sources).plan) == ids(loaded.plan)
    assert hub.asked == []


def test_update_lock_takes_the_newest_commit_though_an_older_one_is_cached(
    hub: HubStandIn, spec: Path, sources: Sources
) -> None:
    hub.push("org/pairs", {"train.jsonl": b"one"})
    loaded = load(spec, sources)
    note_lock(spec, loaded)
    assert rows(loaded.sources) == b"one"
    second = hub.push("org/pairs", {"train.jsonl": b"two"})
    updated = load(spec, sources, update=True)
    note_lock(spec, updated)
    assert read_lock(spec) == {"datasets/org/pairs@main": second}
    assert rows(updated.sources) == b"two"
    assert ids(updated.plan) != ids(loaded.plan)


def test_without_an_answer_update_lock_changes_nothing(hub: HubStandIn, spec: Path, sources: Sources) -> None:
    hub.push("org/pairs", {"train.jsonl": b"one"})
    note_lock(spec, load(spec, sources))
    before = lock_path(spec).read_text()
    hub.branches.clear()
    with pytest.raises(AssetError, match=r"hub org/pairs: .* the lock file is unchanged"):
        load(spec, sources, update=True)
    assert lock_path(spec).read_text() == before


def test_a_part_of_a_repository_is_found_in_the_cache_again(hub: HubStandIn, sources: Sources) -> None:
    hub.push("org/pairs", {"train.jsonl": b"one", "README.md": b"more"})
    assert rows(sources) == b"one"
    assert rows(dataclasses.replace(sources, offline=True)) == b"one"


def test_commits_and_pinned_contents_are_not_locked() -> None:
    commit = "0123456789" * 4
    at_commit = {"hub": "org/pairs", "repo_type": "dataset", "revision": commit}
    fixed = Asset.model_validate({"sources": [at_commit]})
    hashed = OPEN.model_copy(update={"sha256": "ab" * 32})
    assert open_sources([fixed, hashed]) == []
    assert [source.hub for source in open_sources([OPEN, OPEN])] == ["org/pairs"]
    assert identify(fixed, Sources(Path("cache"), offline=True)) == f"org/pairs@{commit}"


@pytest.mark.parametrize("content", ["", "{", '{"schema": 2}', '{"schema": 1, "hub": {"a": "main"}}', "[]"])
def test_a_damaged_lock_file_is_named(content: str, spec: Path) -> None:
    lock_path(spec).write_text(content)
    with pytest.raises(InputError, match=r"spec\.yaml\.lock: no lock file of the harness"):
        read_lock(spec)
