"""Every command and every page makes sense of every state of a run, from an empty database to its last result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from harness.cli import main
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.render.exports import FORMATS, export
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.results.store import Recorded, Store

from .boards import Board, entries
from .ingredients import QUICK

PAGES = ("ranking", "tasks", "languages", "mappings", "tradeoff", "compare", "published", "runs", "trial")
COMMANDS = (
    ["status"],
    ["report"],
    ["report", "--json"],
    ["report", "--losses"],
    ["report", "--losses", "--json"],
    ["export", "any.csv"],
    ["verify"],
    ["gc"],
    ["bundle", "bundle.zip"],
    ["ingest"],
)
Recording = list[tuple[Trial, Result]]


def _recording() -> Recording:
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


RUN = _recording()


def _pruned(recording: Recording) -> Recording:
    """The scores of a run that all were given up."""
    return [
        (trial, result.model_copy(update={"status": "pruned"}))
        for trial, result in recording
        if trial.kind == "finetune"
    ]


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


def _prefixes(recording: Recording) -> Iterator[Recording]:
    """Those that end in a result such as has not been before."""
    seen: set[tuple[object, ...]] = set()
    for count, (trial, result) in enumerate(recording):
        such = (
            trial.kind,
            result.status,
            trial.labels.get("family"),
            "milestone" in trial.labels,
            bool(trial.parents),
        )
        if such not in seen:
            yield recording[:count]
        seen.add(such)
    yield recording


STATES: dict[str, Recording] = {
    **{f"first {len(prefix)}": prefix for prefix in _prefixes(RUN)},
    "measurements": [one for one in RUN if one[0].kind == "measure"],
    "failures": [one for one in RUN if one[1].status == "failed"],
    "students without scores": [one for one in RUN if one[0].kind == "distil"],
    "scores without their students": [one for one in RUN if one[0].kind == "finetune" and one[0].parents],
    "control": [one for one in RUN if one[0].labels.get("family") == "control"],
    "intermediate students": [one for one in RUN if "milestone" in one[0].labels],
    "pruned": _pruned(RUN),
    "undefined scores": _undefined(RUN),
}


LIKE_ANOTHER = (
    "first 2",
    "first 3",
    "first 6",
    "first 8",
    "first 9",
    "first 10",
    "first 11",
    "control",
    "pruned",
)
"""States in which commands and pages have as much to show as in one that is left."""
DISTINCT = tuple(name for name in STATES if name not in LIKE_ANOTHER)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The runs folder and database in one of `STATES`, of a plan that is known from the beginning."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs")
    store = Store(folder / "results.duckdb")
    store.plan(trial for trial, _ in RUN)
    for trial, result in STATES[request.param]:
        TrialFolder.of(folder, trial.id).write_trial(trial)
        TrialFolder.of(folder, trial.id).write_result(result)
    store.record_all([Recorded(trial, result, []) for trial, result in STATES[request.param]])
    monkeypatch.setenv("HARNESS_DB", str((tmp_path / store.path).resolve()))
    return folder


def _commands(runs: Path) -> Iterator[list[str]]:
    yield from COMMANDS
    one_of_each = "SELECT min(trial_id) AS trial_id FROM trials GROUP BY kind, status"
    for trial_id in Store(runs / "results.duckdb").frame(one_of_each)["trial_id"]:
        yield ["show", str(trial_id)]


@pytest.mark.parametrize("runs", DISTINCT, indirect=True)
def test_every_command_answers_or_says_in_one_line_why_not(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in _commands(runs):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        said = capsys.readouterr()
        assert left.value.code in (0, 2), (arguments, said.err)
        assert len(said.err.splitlines()) == (left.value.code == 2), (arguments, said.err)
        assert said.out or left.value.code == 2, arguments


@pytest.mark.parametrize("runs", STATES, indirect=True)
def test_every_ranking_can_be_written_in_every_format(runs: Path) -> None:
    board = read_board(Store(runs / "results.duckdb"))
    for filters in (
        Filters(),
        Filters(milestones=True),
        Filters(student=("3L-192",)),
        Filters(family=("HS",)),
    ):
        for name in FORMATS:
            assert export(board.ranking(filters), name), (filters, name)


@pytest.mark.parametrize("runs", DISTINCT, indirect=True)
def test_every_page_shows_something_and_no_error(runs: Path) -> None:
    for page in PAGES:
        script = f"from leaderboard.views import {page}\n{page}.page()\n"
        app = AppTest.from_string(script, default_timeout=60).run()
        assert [str(error.message) for error in app.exception] == [], page
        assert [*app.info, *app.warning, *app.markdown, *app.dataframe, *app.metric, *app.subheader], page
