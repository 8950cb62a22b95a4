"""What a driver notes in the database, and what the next one makes up for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import recording
from harness.cli.recording import Recorder, open_store
from harness.records.folder import TrialFolder
from harness.records.trial import Trial
from harness.results.store import Store
from harness.results.verify import verify
from harness.schedule import RunSummary
from tests.results import boards
from tests.results.boards import Board
from tests.results.ingredients import GLUE
from tests.schedule.listening import Recorder as Remembering

SMALL = Board(methods=("od", "minilmv2"), students=("3L-192",), seeds=(1,), tasks=GLUE[:1])
END = RunSummary(total=0, done=0, skipped=0, failed=0, blocked=0, seconds=0.0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    boards.write_folders(tmp_path, SMALL)
    return tmp_path


@pytest.fixture
def trials() -> list[Trial]:
    return [trial for trial, _, _ in boards.entries(SMALL)]


def test_a_result_that_a_killed_driver_left_unnoted_is_noted_by_the_next(
    runs: Path, trials: list[Trial]
) -> None:
    store = Store(runs / "results.duckdb")
    store.plan(trials)
    store.record(trials[0])  # the driver died when trials ran: their results came after it
    assert list(verify(runs, store))
    open_store(store, trials, runs)
    assert store.unfinished() == []
    assert list(verify(runs, store)) == []


def test_what_came_together_is_written_at_the_next_pause(runs: Path, trials: list[Trial]) -> None:
    store = Store(runs / "results.duckdb")
    store.plan(trials)
    (TrialFolder.of(runs, trials[1].id).path / "result.json").unlink()
    recorder = Recorder(store, runs, Remembering())
    for trial in trials[:2]:
        recorder.on_trial_started(trial)
    result = TrialFolder.of(runs, trials[0].id).read_result()
    assert result is not None
    recorder.on_result(result)
    assert set(store.unfinished()) == {trial.id for trial in trials}
    recorder.on_pause()
    query = "SELECT status FROM trials WHERE trial_id = ?"
    assert [store.frame(query, [trial.id])["status"].item() for trial in trials[:3]] == [
        "ok",
        "running",
        "planned",
    ]


def test_a_database_that_cannot_be_written_is_told_once_a_while_and_tried_again_at_the_end(
    runs: Path, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Remembering()
    store = Store(runs / "results.duckdb")
    store.path.write_bytes(b"not a database")
    recorder = Recorder(store, runs, listener)
    recorder.on_trial_started(trials[0])
    for _ in range(3):
        recorder.on_pause()
    assert [message.count("could not be written") for message in listener.messages] == [1]
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.0)
    recorder.on_end(END)
    assert "1 trial is not in" in listener.messages[-1]
    store.path.unlink()
    recorder.on_end(END)
    assert store.frame("SELECT trial_id FROM trials")["trial_id"].tolist() == [trials[0].id]
