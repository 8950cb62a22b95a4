"""From a row to its student: the command that a row offers is right for every method of every spec that ships."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.base import digest
from harness.plan import Plan, build_plan
from harness.ranking.glance.reuse import WayToUse, how_to_use, spec_to_type
from harness.ranking.student import WEIGHTS
from harness.records.folder import TrialFolder
from harness.records.trial import DistilJob
from harness.results.store import Store
from harness.spec.catalog import shipped_spec_files, spec_file
from harness.spec.grid import expand
from harness.spec.resolve import resolve_document
from harness.spec.yaml.source import Document, read
from tests.spec.writing import write_spec


def plan_of(document: Document, *settings: str) -> Plan:
    """Of the grid alone: no task."""
    resolved = resolve_document(document, settings=settings)
    students = resolve_document(
        document, settings=settings, without={one.task.name for one in resolved.tasks}
    )
    return build_plan(students, lambda asset: asset.sha256, "this machine")


def rows_of(document: Document, *settings: str) -> list[tuple[str, ...]]:
    """What tells the students of a grid apart, each once."""
    return [
        (
            digest(cell.method.entry),
            digest(cell.student.entry),
            digest(cell.recipe if cell.method.entry.objective else "not distilled"),
            digest(cell.init.init),
            cell.language.name,
            cell.teacher.name,
            str(cell.seed),
        )
        for cell in expand(resolve_document(document, settings=settings))
    ]


def recorded(plan: Plan, folder: Path) -> Store:
    """A database in which the trials of a plan are known."""
    store = Store(folder / "results.duckdb")
    store.plan(plan.trials)
    return store


def command(way: WayToUse) -> tuple[list[str], list[str]]:
    """The words of the command that makes a model anew, and of the one that exports it."""
    run, export = map(shlex.split, way.command.replace("\\\n", "").splitlines())
    return run, export


def settings_of(run: list[str]) -> list[str]:
    """The `--set` of `harness run SPEC --set ...`."""
    assert run[:2] == ["harness", "run"]
    assert set(run[3::2]) <= {"--set"}
    return run[4::2]


@pytest.mark.some(3)
@pytest.mark.parametrize("name", shipped_spec_files())
def test_the_command_of_every_method_makes_its_student_and_no_other(name: str, tmp_path: Path) -> None:
    document = read(shipped_spec_files()[name])
    plan = plan_of(document)
    store = recorded(plan, tmp_path)
    rows = set(rows_of(document))
    one_a_method = {trial.labels["method"]: trial for trial in plan.of_kind("distil")}
    assert one_a_method
    for method, trial in one_a_method.items():
        run, export = command(how_to_use(store, trial.id))
        assert run[2] == name
        [row] = set(rows_of(document, *settings_of(run)))
        assert row in rows
        assert isinstance(trial.job, DistilJob)
        assert row[:2] == (digest(trial.job.method), digest(trial.job.student))
        assert export == [
            "harness",
            "export",
            "--model",
            trial.id,
            "--out",
            f"{method}-{trial.labels['student']}",
        ]


def test_the_command_of_a_method_written_out_gives_the_same_ids(tmp_path: Path) -> None:
    document = read(shipped_spec_files()["study-english"])
    plan = plan_of(document)
    store = recorded(plan, tmp_path)
    written = [trial for trial in plan.of_kind("distil") if trial.labels["method"] == "minilmv2-from-end-1"]
    run, _ = command(how_to_use(store, written[0].id))
    assert [trial.id for trial in plan_of(document, *settings_of(run)).of_kind("distil")] == [written[0].id]


def test_the_command_of_a_prepared_teacher_makes_it(tmp_path: Path) -> None:
    document = read(shipped_spec_files()["quickstart"])
    plan = plan_of(document)
    [trial] = plan.of_kind("prepare")
    run, export = command(how_to_use(recorded(plan, tmp_path), trial.id))
    assert run == ["harness", "run", "quickstart"]
    assert export[-1] == f"prepared-{trial.labels['teacher']}"


GERMAN = f"{{language: de, asset: {{sources: [{{path: german}}], sha256: {'cd' * 32}}}}}"
GRIDS = {
    "entries written out": (),
    "languages": (
        ("grid:", "grid:\n  language: [[en], [de], [de, en]]"),
        (
            "[{language: en,",
            f"[{{language: de, asset: {{sources: [{{path: german}}], sha256: {'cd' * 32}}}}}, {{language: en,",
        ),
    ),
    "starts": (
        ("grid:", "grid:\n  init: [{from: random}, {from: teacher}, {from: teacher, layers: [1, 3]}]"),
    ),
    "rates": (("grid:", "grid:\n  distil.learning_rate: [1e-3, 3e-3]\n  distil.input: [masked, clean]"),),
}


@pytest.mark.parametrize("changes", GRIDS.values(), ids=GRIDS)
def test_the_command_of_a_row_of_a_spec_of_ones_own_makes_its_student_and_no_other(
    changes: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    document = read(write_spec(tmp_path, *changes))
    plan = plan_of(document)
    store = recorded(plan, tmp_path)
    for trial in plan.of_kind("distil"):
        run, _ = command(how_to_use(store, trial.id))
        assert run[2] == "small.yaml"
        assert [made.id for made in plan_of(document, *settings_of(run)).of_kind("distil")] == [trial.id]


def test_weights_that_are_here_are_exported(tmp_path: Path) -> None:
    plan = plan_of(read(shipped_spec_files()["quickstart"]))
    store = recorded(plan, tmp_path)
    trial = plan.of_kind("distil")[0]
    model = TrialFolder.of(store.runs_dir, trial.id).model
    model.mkdir(parents=True)
    _, export = command(how_to_use(store, trial.id))
    (model / WEIGHTS).touch()
    assert shlex.split(how_to_use(store, trial.id).command) == [
        *export,
        "--runs-dir",
        str(store.runs_dir),
    ]


def test_a_student_that_is_not_in_the_database_is_looked_up_by_its_id(tmp_path: Path) -> None:
    store = recorded(plan_of(read(shipped_spec_files()["quickstart"])), tmp_path)
    assert how_to_use(store, "0" * 16).command == f"harness show {'0' * 16}"


def test_a_spec_is_typed_as_it_is_found() -> None:
    for name, path in shipped_spec_files().items():
        assert spec_file(Path(spec_to_type(name))) == path
    assert spec_to_type("my spec") == "'my spec.yaml'"
    assert spec_to_type(None) == "SPEC.yaml"
