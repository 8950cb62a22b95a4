"""A score is shown on every row with the encoder that was evaluated, whichever of its trials was recorded, in what order and
by which version."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from harness.base import digest
from harness.plan import Plan
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.render.text import SAME_STUDENT, notes
from harness.records.encoder import encoder_of
from harness.records.folder import TrialFolder
from harness.records.result import Result, Score
from harness.records.trial import FinetuneJob, ModelSource, Trial, trial_id
from harness.results.bundle import trials_of_seed
from harness.results.gc import garbage
from harness.results.store import Recorded, Store, write_database
from harness.results.verify import family_problems, trial_problems
from tests.plan.questions import edited, put
from tests.plan.test_encoders import COPIED, HEAD, starting, together

from .ingredients import provenance

PLANS = {
    "the head alone is prepared": put("prepare", HEAD),
    "nothing is prepared": lambda spec: spec.pop("prepare") and None,
    "everything is prepared": lambda spec: None,
    "layers are copied": together(starting(COPIED), put("prepare", HEAD)),
}


def score(trial: Trial, encoder: str) -> Result:
    """Of an encoder on a task at a setting: the same whichever trial asks."""
    job = trial.job
    scores: list[Score] = []
    if isinstance(job, FinetuneJob):
        for split, language in ((s, code) for s in ("dev", "test") for code in job.languages):
            if split in job.task.splits:
                scores += [
                    Score(
                        suite=job.task.suite,
                        task=job.task.name,
                        language=language,
                        split=split,
                        metric=metric,
                        value=random.Random(
                            f"{encoder} {job.task.name} {job.recipe.learning_rate} {job.recipe.epochs} {job.seed} "
                            f"{split} {language} {metric}"
                        ).random(),
                        n=100,
                        data_id=digest([job.task.name, language, split], 64),
                        flags=("dev_as_test",) if split == job.task.report == "dev" else (),
                    )
                    for metric in job.task.metrics
                ]
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="ok",
        started_at=1.0,
        finished_at=2.0,
        seconds=1.0,
        scores=tuple(scores),
        dev_value=next((one.value for one in scores if one.split == "dev"), None),
        provenance=provenance(),
    )


def entries(trials: Sequence[Trial], plan: Plan) -> list[Recorded]:
    """These trials with results that depend on their encoders alone."""
    found = []
    for trial in trials:
        job = trial.job
        encoder: object = None
        if isinstance(job, FinetuneJob):
            maker = (
                plan.by_id.get(job.model.makers[0])
                if isinstance(job.model, ModelSource) and job.model.makers
                else None
            )
            encoder = encoder_of(maker, plan.by_id) if maker else job.model
        found.append(Recorded(trial, score(trial, digest(encoder)), []))
    return found


def as_before(plan: Plan) -> list[Trial]:
    """The plan's trials as they were planned when every model was evaluated by trials of its own."""
    trials: list[Trial] = []
    for trial in plan.trials:
        job = trial.job
        if not isinstance(job, FinetuneJob):
            trials.append(trial.model_copy(update={"start": None}))
            continue
        makers = [
            maker
            for maker in (*plan.of_kind("prepare"), *plan.of_kind("distil"))
            if encoder_of(maker, plan.by_id) == job.model
        ]
        if isinstance(job.model, ModelSource) and trial.labels["family"] in ("teacher", "external"):
            trials.append(trial)
        for maker in makers:
            own = job.model_copy(update={"model": ModelSource(trial=maker.id)})
            data = {name: content for name, content in trial.data.items() if name.startswith("task/")}
            changes = {
                "id": trial_id("finetune", own, data, (maker.id,)),
                "job": own,
                "data": data,
                "parents": (maker.id,),
                "config_id": maker.config_id,
                "labels": {**trial.labels, **maker.labels},
            }
            trials.append(trial.model_copy(update=changes))
    return list({trial.id: trial for trial in trials}.values())


def cells(store: Store) -> pd.DataFrame:
    return store.frame(
        "SELECT model_key, config_id, role, suite, task, language, value, runs, dev_value FROM cells ORDER BY ALL"
    )


def written(path: Path, content: Sequence[Recorded]) -> Store:
    write_database(path, content)
    return Store(path)


@pytest.fixture(scope="module", params=PLANS)
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    def edit(spec: dict) -> None:
        PLANS[request.param](spec)
        spec["finetune"].pop("halving")

    return edited(tmp_path_factory.mktemp("plan"), edit)


def test_every_row_has_the_score_of_its_encoder(plan: Plan, tmp_path: Path) -> None:
    store = written(tmp_path / "results.duckdb", entries(plan.trials, plan))
    shown = cells(store)
    makers = [*plan.of_kind("prepare"), *plan.of_kind("distil")]
    assert {trial.id for trial in makers} <= set(shown["model_key"])
    by_model = shown.set_index(["model_key", "task", "language"])["value"]
    for maker in makers:
        for other in makers:
            one, two = encoder_of(maker, plan.by_id), encoder_of(other, plan.by_id)
            assert by_model[maker.id].equals(by_model[other.id]) == (one == two)
    (shipped,) = store.frame(
        "SELECT DISTINCT model_key FROM models WHERE role = 'shipped' AND family = 'teacher'"
    )["model_key"]
    for maker in plan.of_kind("prepare"):
        alone = (
            isinstance(encoder_of(maker, plan.by_id), ModelSource)
            and not encoder_of(maker, plan.by_id).makers
        )
        assert by_model[maker.id].equals(by_model[shipped]) == alone
    board = read_board(store).ranking().table
    assert board["mean"].notna().all()
    assert (
        len(board) == len({trial.config_id for trial in makers}) + 2
    )  # the teacher as shipped, an external model


def test_a_row_counts_each_encoder_once(plan: Plan, tmp_path: Path) -> None:
    results = read_board(written(tmp_path / "results.duckdb", entries(plan.trials, plan)))
    table = results.ranking().table.set_index("config_id")
    by_row: dict[str, list[Trial]] = {}
    for trial in plan.of_kind("distil"):
        by_row.setdefault(str(trial.config_id), []).append(trial)
    for row, makers in by_row.items():
        encoders = {digest(encoder_of(maker, plan.by_id)) for maker in makers}
        shown = table.loc[row]
        assert len(makers) > 1
        assert (shown["n"], shown["students"]) == (len(encoders), len(encoders))
        assert shown["complete"]
        assert shown["constant"] == (len(encoders) == 1)
        assert pd.isna(shown["low"]) == (len(encoders) == 1)
        assert (SAME_STUDENT in notes(shown.to_dict())) == (len(encoders) == 1)
    for pooled in (False, True):
        ranked = results.ranking(Filters(pooled=pooled)).table.set_index("config_id")
        assert ranked["constant"].equals(table["constant"].reindex(ranked.index))
        assert (ranked["n"] == table["n"].reindex(ranked.index)).all()


def test_records_of_before_show_the_same_and_both_together_too(plan: Plan, tmp_path: Path) -> None:
    now, before = entries(plan.trials, plan), entries(as_before(plan), plan)
    assert len(before) >= len(now)
    new = cells(written(tmp_path / "new.duckdb", now))
    pd.testing.assert_frame_equal(cells(written(tmp_path / "old.duckdb", before)), new)
    known = {one.trial.id for one in now}
    both = [*now, *(one for one in before if one.trial.id not in known)]
    pd.testing.assert_frame_equal(cells(written(tmp_path / "both.duckdb", both)), new)


def test_a_database_of_version_8_shows_what_is_shown_now(plan: Plan, tmp_path: Path) -> None:
    before = entries(as_before(plan), plan)
    now = written(tmp_path / "now.duckdb", before)
    old = written(tmp_path / "old.duckdb", before)
    with duckdb.connect(str(old.path)) as con:
        con.execute("DROP VIEW cells; DROP VIEW evaluations; DROP VIEW models")
        con.execute("ALTER TABLE trials DROP COLUMN encoder_key")
        con.execute("UPDATE trials SET selected = NULL WHERE kind = 'finetune'")
        con.execute("DELETE FROM harness_schema WHERE version > 8")
    pd.testing.assert_frame_equal(cells(old), cells(now))
    keys = "SELECT trial_id, encoder_key, selected FROM trials ORDER BY ALL"
    assert old.frame(keys).to_json() == now.frame(keys).to_json()


def test_the_order_of_recording_does_not_matter(plan: Plan, tmp_path: Path) -> None:
    content = entries(plan.trials, plan)
    whole = cells(written(tmp_path / "whole.duckdb", content))
    random.Random(0).shuffle(content)
    planned = Store(tmp_path / "planned.duckdb")
    planned.plan(plan.trials)
    for start in range(0, len(content), 25):
        planned.record_all(content[start : start + 25])
    pd.testing.assert_frame_equal(cells(planned), whole)


def test_a_control_is_known_by_its_own_record_before_its_teacher_is_prepared(
    plan: Plan, tmp_path: Path
) -> None:
    content = entries(plan.trials, plan)
    waiting = {t.id for t in plan.trials if set(t.waits_for) & {p.id for p in plan.of_kind("prepare")}}
    early = [one for one in content if one.trial.kind != "prepare" and one.trial.id not in waiting]
    shown = cells(written(tmp_path / "early.duckdb", early))
    whole = cells(written(tmp_path / "whole.duckdb", content))
    controls = {t.id for t in plan.of_kind("distil") if t.is_control and t.id not in waiting}
    assert controls <= set(shown["model_key"])
    one, other = (frame[frame["model_key"].isin(controls)].reset_index(drop=True) for frame in (shown, whole))
    pd.testing.assert_frame_equal(one, other)


def _folders(runs: Path, content: Sequence[Recorded]) -> None:
    for one in content:
        folder = TrialFolder.of(runs, one.trial.id)
        folder.write_trial(one.trial)
        assert one.result is not None
        folder.write_result(one.result)


def test_a_bundle_of_one_seed_holds_the_evaluations_of_its_controls(plan: Plan, tmp_path: Path) -> None:
    _folders(tmp_path, entries(plan.trials, plan))
    of_one = trials_of_seed(tmp_path, 1)
    for trial in plan.trials:
        job = trial.job
        if trial.is_control:
            scored = {
                one.id
                for one in plan.of_kind("finetune")
                if isinstance(one.job, FinetuneJob) and one.job.model == encoder_of(trial, plan.by_id)
            }
            assert scored
            drawn = trial.start is not None and trial.start.seed is not None
            assert (scored <= of_one) == (trial.labels["seed"] == "1" or not drawn)
        if trial.id in of_one:
            assert set(trial.makers) <= of_one, job


def test_weights_of_an_evaluated_control_are_on_the_board_and_can_go(plan: Plan, tmp_path: Path) -> None:
    _folders(tmp_path, entries(plan.trials, plan))
    for trial in plan.of_kind("distil"):
        model = TrialFolder.of(tmp_path, trial.id).model
        model.mkdir()
        (model / "model.safetensors").write_bytes(b"weights")
    items = {item.path.parent.name: item for item in garbage(tmp_path, weights=True)}
    assert set(items) == {trial.id for trial in plan.of_kind("distil")}
    assert all(item.on_board for item in items.values())


Change = Callable[[Trial], Trial]
OTHERWISE: dict[str, Change] = {
    "another seed": lambda t: t.model_copy(
        update={"start": t.start and t.start.model_copy(update={"seed": 77})}
    ),
    "another teacher": lambda t: t.model_copy(
        update={"start": t.start and t.start.model_copy(update={"teacher": ModelSource(trial="0" * 16)})}
    ),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_start_that_is_not_the_students_is_named(plan: Plan, what: str) -> None:
    trials = dict(plan.by_id)
    assert [p for t in plan.trials for p in (*trial_problems(t, t.id), *family_problems(t, trials))] == []
    control = next(trial for trial in plan.of_kind("distil") if trial.is_control)
    changed = OTHERWISE[what](control)
    assert list(family_problems(changed, trials)) == ["its start does not follow from its contents"]
    trained = next(trial for trial in plan.of_kind("distil") if not trial.is_control)
    assert list(family_problems(trained.model_copy(update={"start": control.start}), trials)) == [
        "its start does not follow from its contents"
    ]
