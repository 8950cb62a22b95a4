"""What the board says of recorded analyses, and what a spec's `analyse:` plans."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from harness.errors import SpecError
from harness.plan import build_plan
from harness.ranking.analyses import ADD, MEASURES, AnalysedGroup, analysed_groups
from harness.ranking.board import read_board
from harness.records.analysis import Analysis, Transfer
from harness.records.result import Result
from harness.records.trial import AnalysedText, AnalyseJob, DistilJob, ModelSource, Trial
from harness.results import tables
from harness.results.store import Recorded, Store
from harness.spec.checks import check_cells
from harness.spec.recipes import Analyse
from harness.spec.resolve import load_spec

from .boards import Board, _result, _trial, entries, write_store

CLOSE = {"scratch": 0.2, "od": 0.3, "hs-uniform": 0.5, "minilmv2": 0.9}
"""Method -> similarity of its students."""


def analysis_of(method: str, seed: int, spread: float) -> Analysis:
    value = CLOSE[method] + spread * (seed - 2)
    cka = ((1.0, 0.0), (0.0, value))
    kl = ((1 - value,),)
    names = ("od", "hs-uniform", "minilmv2")
    return Analysis(
        blocks=4,
        tokens=100,
        relation_heads=1,
        layers={"cka": cka, "qq": kl, "kk": kl, "vv": kl},
        transfers=tuple(
            Transfer(objective=name, loss=None, missing="no head")
            if name == "od" and method != "od"
            else Transfer(objective=name, loss=2 - value, terms={"one": 2 - value})
            for name in names
        ),
    )


def analysed_store(
    path: Path, *boards: Board, seeds: tuple[int, ...] = (1, 2, 3), spread: float = 0.01
) -> Store:
    """Synthetic boards (default: one) whose students of one shape have been analysed."""
    boards = boards or (Board(students=("3L-192",), seeds=seeds, measured=False),)
    store = write_store(path, *boards)
    distilled = [trial for board in boards for trial, _, _ in entries(board) if trial.kind == "distil"]
    store.record_all([tables_entry(trial, spread) for trial in distilled])
    return store


def tables_entry(student: Trial, spread: float):  # type: ignore[no-untyped-def]
    job = student.job
    assert isinstance(job, DistilJob)
    own = AnalyseJob(
        student=ModelSource(trial=student.id),
        teacher=job.teacher,
        corpus=job.corpus,
        text=AnalysedText(),
        objectives=(),
        recipe=Analyse(enabled=True),
    )
    trial = _trial("analyse", own, (student.id,), student.config_id, student.labels)
    result: Result = _result(trial, 3.0, analysis=analysis_of(job.method.name, job.seed, spread))
    return Recorded(trial, result, [])


def only(store: Store) -> AnalysedGroup:
    (group,) = analysed_groups(store, read_board(store)).values()
    return group


def test_clear_order_of_methods_is_stated_with_its_students(tmp_path: Path) -> None:
    group = only(analysed_store(tmp_path / "results.duckdb"))
    said = group.layers_sentence("cka")
    assert said.startswith("Every analysed student of minilmv2 is closer")
    assert "0.9 (n = 3)" in said
    assert "Every analysed student of minilmv2" in group.layers_sentence("vv")
    means = group.maps("cka").set_index(["label", "student_layer", "teacher_layer"])
    assert means.loc[("hs-uniform", 1, 1), "value"] == pytest.approx(CLOSE["hs-uniform"])
    assert means.loc[("hs-uniform", 1, 1), "n"] == 3


@pytest.mark.parametrize(
    ("seeds", "spread", "why"), [((1,), 0.01, "want of seeds"), ((1, 2, 3), 0.5, "overlap")]
)
def test_what_the_students_do_not_decide_is_called_undecided(
    tmp_path: Path, seeds: tuple[int, ...], spread: float, why: str
) -> None:
    said = only(analysed_store(tmp_path / "results.duckdb", seeds=seeds, spread=spread)).layers_sentence(
        "cka"
    )
    assert said.startswith("Undecided")
    assert why in said


SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "steps": ({"steps": 200_000}, "with 200,000 steps of"),
    "teacher": ({"teacher": "large"}, "from large"),
    "prepared or not": ({"prepared": False}, "as shipped"),
    "corpus": ({"languages": ("de", "en")}, "de"),
}
"""What a second board is made with, and the words that name it."""


@pytest.mark.parametrize("what", SETTINGS)
def test_students_of_different_settings_are_never_compared(tmp_path: Path, what: str) -> None:
    changed, words = SETTINGS[what]
    plain = Board(students=("3L-192",), methods=("od", "hs-uniform"), measured=False)
    other = Board(students=("3L-192",), methods=("minilmv2",), measured=False, **changed)  # type: ignore[arg-type]
    store = analysed_store(tmp_path / "results.duckdb", plain, other)
    groups = analysed_groups(store, read_board(store))
    methods = {name: set(group.layers["method"]) for name, group in groups.items()}
    assert sorted(map(sorted, methods.values())) == [["hs-uniform", "od"], ["minilmv2"]]
    (named,) = [name for name, of in methods.items() if of == {"minilmv2"}]
    assert words in named


@pytest.mark.parametrize("seeds", [(1,), (1, 2), (1, 2, 3)])
@pytest.mark.parametrize("spread", [0.01, 0.5])
def test_every_sentence_says_its_n_and_that_nothing_was_tested(
    tmp_path: Path, seeds: tuple[int, ...], spread: float
) -> None:
    group = only(analysed_store(tmp_path / "results.duckdb", seeds=seeds, spread=spread))
    for said in (*map(group.layers_sentence, MEASURES), group.transfer_sentence()):
        assert f"n = {len(seeds)}" in said
        assert "not tested" in said or "not a test" in said


def test_the_matrix_counts_objectives_that_several_methods_were_measured_by(tmp_path: Path) -> None:
    group = only(analysed_store(tmp_path / "results.duckdb"))
    said = group.transfer_sentence()
    assert "By 2 of 2 objectives the lowest mean loss is that of the students of minilmv2" in said
    assert (
        "; 1 of 2 objectives is lowest on students of the objective's own method (n = 3 students each;"
        in said
    )
    missing = group.matrix().set_index(["label", "objective"])["missing"]
    assert missing[("minilmv2", "od")] == "no head"


def test_analyses_survive_a_new_index_of_the_same_records(tmp_path: Path) -> None:
    store = analysed_store(tmp_path / "results.duckdb")
    trials = store.frame("SELECT role, method, model_key, parents FROM trials WHERE kind = 'analyse'")
    assert set(trials["role"]) == {"student"}
    assert [list(parents) for parents in trials["parents"]] == [[key] for key in trials["model_key"]]


def test_hashes_of_results_without_an_analysis_are_those_from_before_there_were_any() -> None:
    _, result, _ = next(one for one in entries(Board()) if one[0].kind == "distil")
    assert result is not None
    with_one = result.model_copy(update={"analysis": analysis_of("od", 1, 0.0)})
    assert tables.record_sha256(with_one) != tables.record_sha256(result)
    old = result.model_dump(mode="json", by_alias=True)
    del old["analysis"], old["rarity"]
    text = json.dumps(old, sort_keys=True, separators=(",", ":"))
    assert tables.record_sha256(result) == hashlib.sha256(text.encode()).hexdigest()


def test_the_page_shows_both_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.duckdb"
    group = only(analysed_store(path))
    monkeypatch.setenv("HARNESS_DB", str(path))
    app = AppTest.from_string("from leaderboard.views import why\nwhy.page()\n", default_timeout=60).run()
    assert [str(error.message) for error in app.exception] == []
    said = [one.value for one in app.markdown]
    assert group.layers_sentence("cka") in said
    assert group.transfer_sentence() in said


def test_without_analyses_the_page_names_the_line_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.duckdb"
    write_store(path, Board(students=("3L-192",), measured=False))
    monkeypatch.setenv("HARNESS_DB", str(path))
    app = AppTest.from_string("from leaderboard.views import why\nwhy.page()\n", default_timeout=60).run()
    assert ADD in app.info[0].value


SHIPPED = Path(__file__).parents[2] / "specs" / "quickstart.yaml"


def planned(*settings: str):  # type: ignore[no-untyped-def]
    return build_plan(load_spec(SHIPPED, settings=settings), lambda asset: "0" * 64, "here")


def test_nothing_is_analysed_unless_asked() -> None:
    assert planned().of_kind("analyse") == ()


def test_each_student_is_analysed_by_every_objective_of_its_shape_and_the_rest_of_the_plan_stays() -> None:
    before, plan = planned(), planned("analyse.enabled=true")
    added = plan.of_kind("analyse")
    students = {trial.id: trial for trial in plan.of_kind("distil")}
    assert {one.id for one in plan.trials} - {one.id for one in before.trials} == {one.id for one in added}
    assert {one.job.student.trial for one in added if isinstance(one.job, AnalyseJob)} == set(students)
    for trial in added:
        assert isinstance(trial.job, AnalyseJob)
        assert trial.expected_id() == trial.id
        assert all(method.objective for method in trial.job.objectives)
        own = students[trial.job.student.trial or ""]
        assert isinstance(own.job, DistilJob)
        if own.job.method.objective:
            assert own.job.method in trial.job.objectives


@pytest.mark.parametrize(
    ("setting", "says"),
    [("analyse.relation_heads=7", "7 relation heads must divide"), ("analyse.seeds=[99]", "no seed 99")],
)
def test_an_analysis_that_cannot_work_is_refused_before_it_runs(setting: str, says: str) -> None:
    resolved = load_spec(SHIPPED, settings=("analyse.enabled=true", setting))
    with pytest.raises(SpecError, match=says):
        check_cells(resolved)
