"""Every command and every page makes sense of every state of a run, from an empty database to its last result."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from harness.attempts.site import Site
from harness.cli import main
from harness.cli.exporting import EVERY_SUITE, FORMAT_OF
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.render.exports import FORMATS, export
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.records.trial import Trial
from harness.results.store import Recorded, Store
from harness.schedule import local
from harness.trials.run import run_trials
from leaderboard import present
from tests.faults.injection.tiny import write_spec

from .boards import Board, entries
from .ingredients import QUICK

PAGES = sorted(path.stem for path in (Path(present.__file__).parent / "views").glob("[!_]*.py"))
COMMANDS = (
    ["status"],
    ["report"],
    ["report", "--ids"],
    ["report", "--json"],
    ["report", "--losses"],
    ["report", "--losses", "--json"],
    ["verify"],
    ["gc"],
    ["gc", "--weights"],
    ["bundle", "bundle.zip"],
    ["ingest"],
)
SCOPES = (Filters(milestones=True), Filters(student=("none such",)))
PARTS = 6
"""Tests that the states of the real run are divided among."""
SMALL = {"warmup_steps": 1, "learning_rate": 3e-3, "batch_size": 8, "length": 16}
Recording = list[tuple[Trial, Result]]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Recording]]:
    """The spec of a small run and what it recorded, in the order in which it ended: a prepared teacher, a control, a
    student with an intermediate one, a student that cannot write, scores, analyses, measurements."""
    folder = tmp_path_factory.mktemp("real")
    spec = write_spec(
        folder,
        grid={
            "method": ["scratch", "hs-uniform", "od"],
            "student": [{"name": "2l-16", "layers": 2, "width": 16, "heads": 2, "ffn": 32}],
        },
        prepare={"steps": 2, **SMALL},
        distil={"steps": 4, "milestones": [2], **SMALL},
        finetune={"learning_rate": 3e-3, "epochs": 1, "length": 24, "select_on": "dev", "train_rows": 64},
        analyse={"enabled": True, "relation_heads": 4},
    )

    def run_job(trials: Sequence[Trial], site: Site) -> list[Result]:
        for trial in trials:
            if trial.kind == "distil" and trial.labels["method"] == "od":
                TrialFolder.of(site.runs_dir, trial.id).progress_file.mkdir(exist_ok=True)
        return run_trials(trials, site)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        patch.setenv("HARNESS_OFFLINE", "1")
        patch.delenv("HARNESS_DATA", raising=False)
        patch.setattr(local, "default_run_job", lambda: run_job)
        with pytest.raises(SystemExit):
            main(["run", str(spec), "--backend", "local", "--runs-dir", str(folder / "runs")])
        recorded = [(one.read_trial(), one.read_result()) for one in trial_folders(folder / "runs")]
        whole = [(trial, result) for trial, result in recorded if trial and result]
        yield spec, sorted(whole, key=lambda pair: pair[1].finished_at)


@cache
def _synthetic() -> Recording:
    """A whole run: teachers, a measurement, a failed student, a control, a method, an intermediate student."""
    board = Board(
        methods=("hs-uniform", "scratch", "minilmv2"),
        students=("3L-192",),
        tasks=QUICK[:1],
        seeds=(1,),
        fail={"hs-uniform": "nan"},
        milestones=(500,),
    )
    return [(trial, result) for trial, result, _ in entries(board) if result is not None]


def _given_up(recording: Recording) -> Recording:
    """The scores of a run that all were given up."""
    scores = [(trial, result) for trial, result in recording if trial.kind == "finetune"]
    return [(trial, result.model_copy(update={"status": "pruned"})) for trial, result in scores]


def _undefined(recording: Recording) -> Recording:
    """A run whose scores all are undefined, as correlations of constant predictions are."""
    return [
        (
            trial,
            result.model_copy(
                update={"scores": tuple(one.model_copy(update={"value": None}) for one in result.scores)}
            ),
        )
        for trial, result in recording
    ]


ODD: dict[str, Callable[[Recording], Recording]] = {
    "measurements": lambda run: [one for one in run if one[0].kind == "measure"],
    "failures": lambda run: [one for one in run if one[1].status == "failed"],
    "students without scores": lambda run: [one for one in run if one[0].kind == "distil"],
    "scores without their students": lambda run: [
        one for one in run if one[0].kind == "finetune" and one[0].parents
    ],
    "a control": lambda run: [one for one in run if one[0].labels.get("family") == "control"],
    "intermediate students": lambda run: [one for one in run if "milestone" in one[0].labels],
    "given up": _given_up,
    "undefined scores": _undefined,
}
"""States that no order of results leads to, of the synthetic run."""


@cache
def _app(page: str) -> AppTest:
    """A page that stays open while results come in."""
    return AppTest.from_string(f"from leaderboard.views import {page}\n{page}.page()\n", default_timeout=60)


class Replay:
    """A runs folder and database that results are added to, one after the other."""

    def __init__(self, folder: Path, planned: Sequence[Trial], spec: Path | None = None) -> None:
        self.runs = folder / "runs"
        self.store = Store(self.runs / "results.duckdb")
        self.store.plan(planned)
        self.spec = spec

    def add(self, trial: Trial, result: Result) -> None:
        """As a run records it."""
        folder = TrialFolder.of(self.runs, trial.id)
        folder.write_trial(trial)
        folder.write_result(result)
        self.store.record_all([Recorded(trial, result, [])])

    def commands(self, newest: Trial | None) -> Iterator[list[str]]:
        """All that read results; `newest` is the trial recorded last. Formats of one suite are tried without a command."""
        yield from COMMANDS
        yield from ([["show", newest.id]] if newest else [])
        yield from ([["plan", str(self.spec)]] if self.spec else [])
        yield from (
            ["export", f"ranking{ending}"] for ending, name in FORMAT_OF.items() if name in EVERY_SUITE
        )


def _check(
    replay: Replay,
    newest: Trial | None,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command, every format and every page on the present state."""
    monkeypatch.setenv("HARNESS_DB", str(replay.store.path.resolve()))
    for arguments in replay.commands(newest):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        said = capsys.readouterr()
        assert left.value.code in (0, 2), (state, arguments, said.err)
        assert len(said.err.splitlines()) == (left.value.code == 2), (state, arguments, said.err)
        assert said.out or left.value.code == 2, (state, arguments)
    board = read_board(replay.store)
    for filters in SCOPES:
        ranking = board.ranking(filters)
        assert all(export(ranking, name) for name in FORMATS), (state, filters)
    for page in PAGES:
        app = _app(page).run()
        assert [str(error.message) for error in app.exception] == [], (state, page)
        assert [*app.info, *app.warning, *app.markdown, *app.dataframe, *app.metric, *app.subheader], (
            state,
            page,
        )


@pytest.fixture(autouse=True)
def _always_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pages show each state at once; commands read the folder `runs`."""
    monkeypatch.setattr(present, "SETTLE", 0.0)
    monkeypatch.chdir(tmp_path)


@pytest.mark.some(3)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_state_of_a_run_is_answered_and_shown(
    part: int,
    real: tuple[Path, Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec, recording = real
    assert {trial.kind for trial, _ in recording} == {"prepare", "distil", "finetune", "analyse", "measure"}
    assert {result.status for _, result in recording} == {"ok", "failed"}
    replay, newest = Replay(tmp_path, [trial for trial, _ in recording], spec), None
    for number in range(len(recording) + 1):
        if number:
            newest, result = recording[number - 1]
            replay.add(newest, result)
        if number % PARTS == part:
            _check(replay, newest, f"after {number} results", monkeypatch, capsys)


@pytest.mark.some(2)
@pytest.mark.parametrize("draw", range(4))
def test_states_of_runs_that_end_in_another_order_are_answered_and_shown(
    draw: int,
    real: tuple[Path, Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec, recording = real
    chance = random.Random(draw)
    replay = Replay(tmp_path, [trial for trial, _ in recording], spec)
    state = chance.sample(recording, chance.randrange(1, len(recording)))
    for trial, result in state:
        replay.add(trial, result)
    titles = ", ".join(trial.title for trial, _ in state)
    _check(replay, state[-1][0], titles, monkeypatch, capsys)


@pytest.mark.some(2)
@pytest.mark.parametrize("state", ODD)
def test_odd_states_are_answered_and_shown(
    state: str,
    real: tuple[Path, Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replay, newest = Replay(tmp_path, [trial for trial, _ in _synthetic()], real[0]), None
    for trial, result in ODD[state](_synthetic()):
        replay.add(trial, result)
        newest = trial
    _check(replay, newest, state, monkeypatch, capsys)
