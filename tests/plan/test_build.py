"""Plans: which trials a spec asks for, and ids that change with the question and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assets.asset import Asset
from harness.errors import SpecError
from harness.plan import UNRESOLVED, Plan, build_plan, inputs_of
from harness.records.trial import DistilJob, FinetuneJob, MeasureJob, ModelSource, Trial, trial_id
from harness.spec.catalog import shipped_specs
from harness.spec.checks import check_cells
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec

SHIPPED = sorted(path for path in shipped_specs().rglob("*.yaml") if "grid:" in path.read_text())
PREPARED = ("finetune:", "prepare: {steps: 5, warmup_steps: 1}\nfinetune:")


def content(asset: Asset) -> str | None:
    return asset.sha256


def plan_of(path: Path) -> Plan:
    return build_plan(load_spec(path), content, "this machine")


def small(folder: Path, *changes: tuple[str, str]) -> Plan:
    return plan_of(write_spec(folder, *changes))


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


def distilled(plan: Plan, method: str) -> list[Trial]:
    return [trial for trial in plan.of_kind("distil") if trial.labels["method"] == method]


def test_parents_come_before_their_children_and_are_all_there(tmp_path: Path) -> None:
    seen: set[str] = set()
    for trial in small(tmp_path, PREPARED).trials:
        assert set(trial.parents) <= seen
        seen.add(trial.id)


def test_a_plan_holds_what_its_grid_asks_for_and_nothing_twice(tmp_path: Path) -> None:
    plan = small(tmp_path, PREPARED)
    counts = {kind: len(plan.of_kind(kind)) for kind in ("prepare", "distil", "finetune", "measure")}
    # 3 methods × 2 seeds; 6 students and 2 teachers × 2 learning rates; one teacher and one shape
    assert counts == {"prepare": 1, "distil": 6, "finetune": 16, "measure": 2}
    assert len(ids(plan)) == len(plan.trials)


def test_an_id_is_the_hash_of_job_data_and_parents(tmp_path: Path) -> None:
    for trial in small(tmp_path, PREPARED).trials:
        assert trial.id == trial_id(trial.kind, trial.job, trial.data, trial.makers)


def test_names_descriptions_and_ways_of_running_change_no_id(tmp_path: Path) -> None:
    plain = small(tmp_path)
    renamed = small(
        tmp_path,
        ("name: small", "name: other\ndescription: in other words"),
        ("name: od, family: OD", "name: renamed, family: HS, summary: new"),
        ("name: s2", "name: s2-renamed"),
        ("steps: 10,", "cohort: off, steps: 10,"),
        ("[{path: teacher}]", "[{path: elsewhere}, {hub: org/model}]"),
        ("finetune:", "resources: {distil: {concurrency: 3}}\nmax_trials: 50\nfinetune:"),
    )
    assert ids(renamed) == ids(plain)


def test_how_a_value_is_spelt_changes_no_id(tmp_path: Path) -> None:
    plain = small(tmp_path)
    respelt = small(
        tmp_path,
        ("[1e-5, 2e-5]", "[0.00001, 0.00002]"),
        ("heads: 4}", "heads: 4, ffn: 128}"),
        ("{term: logits}", "{term: logits, temperature: 1.0, weight: 1}"),
    )
    assert ids(respelt) == ids(plain)


def test_a_setting_changes_the_ids_of_all_that_depends_on_it_and_of_nothing_else(tmp_path: Path) -> None:
    plain = small(tmp_path, PREPARED)
    other = small(tmp_path, PREPARED, ("steps: 10,", "steps: 10, learning_rate: 1e-3,"))
    kept = ids(plain) & ids(other)
    untouched = {
        trial.id for trial in plain.trials if trial.labels.get("method") in ("none", "prepared", "as shipped")
    }
    assert kept == untouched | {trial.id for trial in plain.of_kind("measure")}


def test_a_finetuning_setting_leaves_the_students_alone(tmp_path: Path) -> None:
    plain, other = small(tmp_path), small(tmp_path, ("epochs: 2", "epochs: 3"))
    assert {t.id for t in plain.of_kind("distil")} == {t.id for t in other.of_kind("distil")}
    assert not {t.id for t in plain.of_kind("finetune")} & {t.id for t in other.of_kind("finetune")}


def test_what_a_prepared_teacher_learnt_reaches_every_id_below_it(tmp_path: Path) -> None:
    plain = small(tmp_path, PREPARED)
    other = small(tmp_path, ("finetune:", "prepare: {steps: 6, warmup_steps: 1}\nfinetune:"))
    below = {trial.id for trial in plain.trials if trial.parents}
    assert below
    assert not below & ids(other)


def test_other_content_of_an_input_is_another_question(tmp_path: Path) -> None:
    resolved = load_spec(write_spec(tmp_path))
    plain = build_plan(resolved, lambda asset: "a", "m")
    other = build_plan(resolved, lambda asset: "b", "m")
    assert not ids(plain) & ids(other)


def test_another_machine_measures_anew_and_nothing_else(tmp_path: Path) -> None:
    resolved = load_spec(write_spec(tmp_path))
    one, two = build_plan(resolved, content, "one"), build_plan(resolved, content, "two")
    assert {trial.kind for trial in one.trials if trial.id not in ids(two)} == {"measure"}


def test_an_added_method_adds_only_its_trials(tmp_path: Path) -> None:
    plain = small(tmp_path)
    more = small(
        tmp_path, ("  student:", "    - {name: mlm, family: control, objective: [{term: mlm}]}\n  student:")
    )
    assert ids(plain) < ids(more)
    assert {more.by_id[added].labels["method"] for added in ids(more) - ids(plain)} == {"mlm"}


def test_a_configuration_is_a_student_without_its_seed(tmp_path: Path) -> None:
    plan = small(tmp_path)
    one, two = distilled(plan, "od")
    assert one.id != two.id
    assert one.config_id == two.config_id
    configurations = {trial.config_id for trial in plan.of_kind("distil")}
    assert len(configurations) == 3
    of_students = {trial.config_id for trial in plan.of_kind("finetune") if trial.parents}
    (untrained,) = {trial.config_id for trial in distilled(plan, "none")}
    assert of_students == configurations - {untrained}


def test_the_teacher_is_evaluated_as_shipped_and_as_prepared(tmp_path: Path) -> None:
    plan = small(tmp_path, PREPARED)
    (prepare,) = plan.of_kind("prepare")
    teachers = [trial for trial in plan.of_kind("finetune") if trial.labels["family"] == "teacher"]
    assert {trial.labels["method"] for trial in teachers} == {"as shipped", "prepared"}
    assert {trial.parents for trial in teachers} == {(), (prepare.id,)}
    assert len({trial.config_id for trial in teachers}) == 2
    for trial in plan.of_kind("distil"):
        assert trial.parents == (prepare.id,)
        assert isinstance(trial.job, DistilJob)
        assert trial.job.teacher.trial == prepare.id


def test_references_may_have_a_grid_of_their_own_and_students_keep_theirs(tmp_path: Path) -> None:
    own = ("finetune: {", "finetune: {references: {learning_rate: [3e-6, 4e-6], epochs: 1}, ")

    def grids(plan: Plan) -> dict[bool, set[tuple[float, int]]]:
        found: dict[bool, set[tuple[float, int]]] = {True: set(), False: set()}
        for trial in plan.of_kind("finetune"):
            assert isinstance(trial.job, FinetuneJob)
            recipe = trial.job.recipe
            found[trial.labels["family"] == "teacher"].add((recipe.learning_rate, recipe.epochs))
        return found

    alike, apart = grids(small(tmp_path, PREPARED)), grids(small(tmp_path, PREPARED, own))
    assert alike[True] == alike[False] == apart[False] == {(1e-5, 2), (2e-5, 2)}
    assert apart[True] == {(3e-6, 1), (4e-6, 1)}


def test_a_method_without_objective_trains_nothing_whatever_the_recipe(tmp_path: Path) -> None:
    axes = ("seed: [1, 2]", "seed: [1]\n  distil.learning_rate: [1e-4, 2e-4]")
    plan = small(tmp_path, axes)
    (trial,) = distilled(plan, "none")
    assert isinstance(trial.job, DistilJob)
    assert trial.job.recipe.steps == 0
    assert len(distilled(plan, "od")) == 2


@pytest.mark.parametrize(
    ("method", "student", "expected"),
    [("", "", "last"), ("", "first", "first"), ("alternate", "first", "alternate")],
)
def test_initialisation_is_the_methods_before_the_students_before_the_grids(
    tmp_path: Path, method: str, student: str, expected: str
) -> None:
    def pin(layers: str) -> str:
        return f", init: {{from: teacher, layers: {layers}}}" if layers else ""

    plan = small(
        tmp_path,
        ("family: OD,", f"family: OD{pin(method)},"),
        ("width: 32, heads: 4}", f"width: 64, heads: 4{pin(student)}}}"),
        ("seed: [1, 2]", "seed: [1]\n  init: [{from: teacher, layers: last}]"),
    )
    (trial,) = distilled(plan, "od")
    assert isinstance(trial.job, DistilJob)
    assert trial.job.init.layers == expected


def test_an_assistant_is_distilled_first_and_teaches_the_students(tmp_path: Path) -> None:
    student = "{name: s3, layers: 3, width: 64, heads: 4}"
    method = "{name: h, family: HS, objective: [{term: mlm}]}"
    assistant = f"{{name: middle, method: {method}, student: {student}}}"
    plan = small(tmp_path, PREPARED, ("seed: [1, 2]", f"seed: [1]\n  teacher: [{assistant}]"))
    (prepare,) = plan.of_kind("prepare")
    (middle,) = [trial for trial in plan.of_kind("distil") if trial.labels["student"] == "s3"]
    assert middle.parents == (prepare.id,)
    students = [trial for trial in plan.of_kind("distil") if trial.labels["student"] == "s2"]
    assert {trial.parents for trial in students} == {(middle.id,)}
    assert {trial.labels["teacher"] for trial in students} == {"middle"}
    assert any(trial.parents == (middle.id,) for trial in plan.of_kind("finetune"))
    assert any(
        isinstance(t.job, MeasureJob) and t.job.student and t.job.student.layers == 3 for t in plan.trials
    )


def test_milestones_are_evaluated_like_the_final_student(tmp_path: Path) -> None:
    plan = small(tmp_path, ("steps: 10,", "steps: 10, milestones: [2, 5],"))
    (student, _) = distilled(plan, "od")
    sources = [trial.job.model for trial in plan.trials if isinstance(trial.job, FinetuneJob)]
    steps = [
        source.milestone
        for source in sources
        if isinstance(source, ModelSource) and source.makers == (student.id,)
    ]
    assert sorted(steps, key=str) == sorted([None, None, 2, 2, 5, 5], key=str)
    (untrained, _) = distilled(plan, "none")
    assert not untrained.milestones
    assert not any(untrained.id in source.makers for source in sources)


def test_external_models_are_evaluated_and_measured_but_never_taught(tmp_path: Path) -> None:
    model = "models:\n  - {name: other, asset: {sources: [{path: other}], sha256: %s}}\nfinetune:" % (
        "cd" * 32
    )
    plan = small(tmp_path, ("finetune:", model))
    external = [trial for trial in plan.of_kind("finetune") if trial.labels["family"] == "external"]
    assert [trial.parents for trial in external] == [(), ()]
    assert len(plan.of_kind("measure")) == 3
    assert {trial.labels["teacher"] for trial in plan.of_kind("distil")} == {"tiny"}


def test_one_measurement_serves_every_student_of_a_shape(tmp_path: Path) -> None:
    plan = small(
        tmp_path, ("  seed:", "    - {name: s2-again, layers: 2, width: 32, heads: 4, ffn: 128}\n  seed:")
    )
    assert len(plan.of_kind("measure")) == 2


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("epochs: 2", "epochs: 2", "dev"),
        ("format: jsonl", "format: jsonl\n      report: dev", "train_holdout"),
        ("dev: {files: dev.jsonl}, ", "", "train_holdout"),
        (
            "dev: {files: dev.jsonl}, test: {files: test.jsonl}}",
            "dev: {files: 'dev-{language}'}, test: {files: 'test-{language}'}}\n      languages: [en, de]",
            "dev_en",
        ),
        ("epochs: 2", "epochs: 2, select_on: dev_all", "dev_all"),
    ],
)
def test_the_best_setting_is_never_chosen_on_rows_that_are_reported(
    tmp_path: Path, old: str, new: str, rows: str
) -> None:
    plan = small(tmp_path, (old, new))
    jobs = [trial.job for trial in plan.trials if isinstance(trial.job, FinetuneJob)]
    assert {job.recipe.select_on for job in jobs} == {rows}


def test_retrieval_needs_one_trial_a_model_whatever_the_grid(tmp_path: Path) -> None:
    plan = small(
        tmp_path,
        ("suite: S", "suite: S\n      type: retrieval"),
        ("metrics: [accuracy]", "metrics: ['accuracy@1']"),
    )
    found = [trial.job for trial in plan.trials if isinstance(trial.job, FinetuneJob)]
    assert len(found) == 7
    assert {job.recipe.epochs for job in found} == {0}


def test_content_that_is_not_known_is_listed_and_its_ids_are_provisional(tmp_path: Path) -> None:
    resolved = load_spec(write_spec(tmp_path))
    plan = build_plan(resolved, lambda asset: None, "m")
    assert {one.name for one in plan.unresolved} == set(inputs_of(resolved))
    assert all(UNRESOLVED in trial.data.values() for trial in plan.trials if trial.kind != "finetune")


def test_the_inputs_asked_for_beforehand_are_those_of_the_plan(tmp_path: Path) -> None:
    resolved = load_spec(write_spec(tmp_path, PREPARED))
    assert inputs_of(resolved) == dict(build_plan(resolved, content, "m").assets)


def test_a_plan_beyond_the_limit_is_refused_with_its_count(tmp_path: Path) -> None:
    rates = ", ".join(f"{n}e-6" for n in range(1, 1001))
    seeds = ", ".join(map(str, range(1000)))
    path = write_spec(tmp_path, ("[1e-5, 2e-5], epochs: 2", f"[{rates}], epochs: [1, 2], seeds: [{seeds}]"))
    with pytest.raises(SpecError, match="the spec asks for 12,000,006 trials; at most 100,000"):
        plan_of(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem + "-" + path.parent.name)
def test_every_shipped_spec_plans(path: Path) -> None:
    resolved = load_spec(path)
    check_cells(resolved)
    plan = build_plan(resolved, lambda asset: "content", "m")
    assert plan.of_kind("distil")
    assert bool(plan.of_kind("measure")) == resolved.spec.measure.enabled
    assert len(ids(plan)) == len(plan.trials)
