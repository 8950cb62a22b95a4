"""`select:` names axes of the grid, and every method has the same settings to choose from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.build import build_plan
from harness.spec.resolve import load_spec
from tests.spec.test_schema import mistakes
from tests.spec.writing import line_of, write_spec

AXIS = ("seed: [1, 2]", "seed: [1]\n  distil.learning_rate: [1e-3, 3e-3]")


def selecting(over: str, *, exclude: str = "") -> tuple[str, str]:
    rest = f"exclude: [{exclude}]\n" if exclude else ""
    return "distil: {steps", f"select: {{over: [{over}]}}\n{rest}distil: {{steps"


def test_a_selection_changes_no_id_and_is_told_to_whoever_is_distilled_with_an_objective(
    tmp_path: Path,
) -> None:
    plain, chosen = (
        build_plan(load_spec(write_spec(tmp_path, AXIS, *more)), lambda asset: "content", "here")
        for more in ((), (selecting("distil.learning_rate"),))
    )
    assert [trial.id for trial in plain.trials] == [trial.id for trial in chosen.trials]
    selected = {trial.labels["method"]: trial.labels.get("select") for trial in chosen.of_kind("distil")}
    assert selected == {"none": None, "od": "distil.learning_rate", "rel": "distil.learning_rate"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [AXIS, selecting("distil.learning_rte")],
            "no axis 'distil.learning_rte' to select over; did you mean",
        ),
        ([AXIS, selecting("distil.steps")], "no axis 'distil.steps' to select over"),
        ([AXIS, selecting("method")], "no axis 'method' to select over"),
        ([selecting("distil.learning_rate")], "it has no `distil.` axis"),
    ],
)
def test_an_axis_that_the_grid_has_not_is_refused_at_its_place(
    tmp_path: Path, changes: list[tuple[str, str]], expected: str
) -> None:
    path = write_spec(tmp_path, *changes)
    [line] = mistakes(path)
    assert expected in line
    assert line.startswith(f"{path}:{line_of(path, 'select:')}:")


def test_fewer_settings_for_one_method_than_for_others_are_refused(tmp_path: Path) -> None:
    rule = "{method: od, distil.learning_rate: 0.003}"
    path = write_spec(tmp_path, AXIS, selecting("distil.learning_rate", exclude=rule))
    [line] = mistakes(path)
    assert "od, random is not tried at distil.learning_rate 0.003, as others are" in line


def test_a_control_that_learns_nothing_may_be_left_out(tmp_path: Path) -> None:
    rule = "{method: none, distil.learning_rate: 0.003}"
    path = write_spec(tmp_path, AXIS, selecting("distil.learning_rate", exclude=rule))
    assert load_spec(path).spec.select is not None
    from harness.spec.checks import check_cells

    check_cells(load_spec(path))
