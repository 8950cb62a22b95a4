"""Every shipped method with an objective trains: all of them in one cohort, each lowers its own loss; with a teacher of
each family that is tapped in its own way."""

from __future__ import annotations

import pytest

from harness.records.result import Result
from harness.spec.catalog import Catalog
from harness.spec.entries import Method
from harness.trials.run import run_trials

from .test_distil import with_heads
from .world import FLAT_STUDENT, TINY_STUDENT, World, distil_trial, make_world

METHODS = [method for method in Catalog().entries("methods", Method) if method.objective]
HEADS = {"minilm": 4, "minilmv2": 8, "direct-minilm": 8}
"""Relation heads that divide the tiny widths; MiniLM's are the teacher's attention heads."""
NARROW_STUDENT = TINY_STUDENT.model_copy(update={"name": "narrow", "heads": 4})
"""Half the teacher's width at its number of heads."""


REFUSED = {("mpnet", "minilm"), ("mpnet", "tinybert")}
"""Methods that rebuild attention from queries and keys, where a family adds to it."""
PAIRS = [(method, FLAT_STUDENT) for method in METHODS]
PAIRS += [(method, NARROW_STUDENT) for method in METHODS if method.family in ("HS", "MHA")]


@pytest.fixture(scope="module", params=["bert", "modernbert", "mpnet"])
def world_of_a_family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny teacher of each in turn."""
    return make_world(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def results(world_of_a_family: World) -> dict[tuple[str, str], Result]:
    """Method and student -> result, all from one cohort."""
    world = world_of_a_family
    trials = [
        distil_trial(
            world,
            with_heads(method.name, HEADS[method.name]) if method.name in HEADS else method,
            student=student,
            steps=10,
        )
        for method, student in PAIRS
    ]
    found = run_trials(trials, world.site("every method"))
    return {(method.name, student.name): one for (method, student), one in zip(PAIRS, found, strict=True)}


@pytest.mark.parametrize(("method", "student"), [(method.name, student.name) for method, student in PAIRS])
def test_a_method_lowers_its_own_loss_on_held_out_text(
    method: str, student: str, results: dict[tuple[str, str], Result], world_of_a_family: World
) -> None:
    result = results[method, student]
    if (world_of_a_family.model_type, method) in REFUSED:
        assert "adds a bias of relative positions" in str(result.error)
        return
    assert result.status == "ok", result.error
    before, after = (result.facts[f"held_out_{when}"]["loss"] for when in ("before", "after"))
    assert after < before
