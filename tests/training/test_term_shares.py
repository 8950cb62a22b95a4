"""Each term's share of loss and gradient: what it is, what it costs, and that measuring changes nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from harness.attempts.figures import TermShares
from harness.errors import TrialError
from harness.methods.terms import Logits, Mlm
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.spec.entries import Method
from harness.training import member
from harness.training import term_shares as shares
from harness.training.term_shares import (
    LEAST_STEPS_APART,
    SHARE_OF_ROWS,
    dead_terms,
    measured_rows,
    measured_steps,
    term_shares,
)
from harness.trials.run import run_trials
from tests.trials.test_distil import with_heads
from tests.trials.world import FLAT_STUDENT, World, distil_trial, method, stop_after

MIXED = Method(name="mixed", family="OD", objective=(Logits(weight=1e-6), Mlm()))
"""A term that does nothing, and one that does everything."""
MOVING = Method.model_validate(
    {
        "name": "moving",
        "family": "HS",
        "objective": [{"term": "hidden_states", "mapping": "emd"}, {"term": "mlm"}],
    }
)
"""One whose mapping is refreshed at every step."""


def test_shares_are_of_weighted_losses_and_of_norms_of_their_gradients() -> None:
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    y = torch.tensor([1.0], requires_grad=True)
    found = term_shares(7, {"square": x.square().sum() / 2, "line": 5 * y.sum()}, [x, y])
    assert found == TermShares(7, {"square": 12.5 / 17.5, "line": 5 / 17.5}, {"square": 0.5, "line": 0.5})
    assert x.grad is None
    assert y.grad is None


@pytest.mark.parametrize("loss", [torch.tensor(float("nan")), torch.tensor(float("inf")), torch.tensor(0.0)])
def test_what_is_not_finite_or_nothing_has_no_shares(loss: Tensor) -> None:
    assert term_shares(0, {"one": loss}, [torch.ones(1, requires_grad=True)]) is None


@given(st.integers(0, 10_000), st.integers(3, 512), st.integers(2, 3))
def test_measuring_costs_less_than_two_percent(steps: int, examples: int, terms: int) -> None:
    # Forward once and backward once a term on some rows, against forward and backward on all; backward costs twice.
    each = measured_rows(examples) * (1 + 2 * terms) / (3 * examples)
    measured = measured_steps(steps, terms)
    assert len(measured) <= 10
    assert all(step < steps for step in measured)
    assert len(measured) * each <= 0.02 * max(steps, LEAST_STEPS_APART)


def test_one_term_has_everything_and_is_not_measured() -> None:
    assert not measured_steps(1_000, 1)
    assert not measured_steps(0, 2)
    assert list(measured_steps(1_000, 2)) == list(range(0, 1_000, 100))
    assert [measured_rows(n) for n in (1, 2, 3 * SHARE_OF_ROWS - 1, 3 * SHARE_OF_ROWS)] == [1, 2, 2, 3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_term_is_dead_where_its_share_is_below_a_hundredth_throughout(shares: list[float]) -> None:
    points = [TermShares(step, {}, {"a": share, "b": 1 - share}) for step, share in enumerate(shares)]
    expected = [
        f"dead_term:{name}" for name, most in (("a", max(shares)), ("b", 1 - min(shares))) if most < 0.01
    ]
    assert list(dead_terms(points)) == expected


@pytest.fixture
def every_fifth_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure often enough for a run of 20 steps."""
    monkeypatch.setattr(shares, "LEAST_STEPS_APART", 5)


def distilled(world: World, name: str, what: Method) -> tuple[Result, dict[str, Tensor]]:
    """The result of 20 steps, and the student's weights."""
    place = world.site(name)
    [result] = run_trials([distil_trial(world, what, student=FLAT_STUDENT)], place)
    assert result.status == "ok", result.error
    return result, load_file(TrialFolder.of(place.runs_dir, result.trial_id).model / "model.safetensors")


@pytest.mark.parametrize("what", [MIXED, method("tinybert"), MOVING], ids=lambda one: one.name)
@pytest.mark.usefixtures("every_fifth_step")
def test_measuring_changes_no_bit_of_what_is_trained(
    world: World, what: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, with_shares = distilled(world, f"measured {what.name}", what)
    monkeypatch.setattr(member, "measured_steps", lambda steps, terms: range(0))
    silent, without = distilled(world, f"silent {what.name}", what)
    assert len(measured.facts["term_shares"]) > 1
    assert silent.facts["term_shares"] == []
    assert with_shares.keys() == without.keys()
    assert all(torch.equal(with_shares[name], without[name]) for name in without)


@pytest.mark.usefixtures("every_fifth_step")
def test_a_dead_term_is_flagged_and_shares_survive_an_interruption(world: World) -> None:
    trial = distil_trial(world, MIXED, student=FLAT_STUDENT)
    with pytest.raises(TrialError, match="stopped after step 9"):
        run_trials([trial], world.site("interrupted", stop=stop_after(9)))
    [result] = run_trials([trial], world.site("interrupted"))
    whole, _ = distilled(world, "uninterrupted", MIXED)
    assert result.resumed == 1
    assert result.facts["term_shares"] == whole.facts["term_shares"]
    assert [flag for flag in whole.flags if flag.startswith("dead_term")] == ["dead_term:logits"]
    for point in whole.facts["term_shares"]:
        assert sum(point["gradient"].values()) == pytest.approx(1)
        assert sum(point["loss"].values()) == pytest.approx(1)


def test_no_term_of_a_shipped_method_is_dead_from_the_start(world: World) -> None:
    methods = [method(name) for name in ("pkd", "tinybert", "distilbert", "od-mlm")]
    trials = [
        distil_trial(world, one, student=FLAT_STUDENT, steps=2) for one in (*methods, with_heads("minilm", 4))
    ]
    for result in run_trials(trials, world.site("shipped")):
        assert len(result.facts["term_shares"]) == 1
        assert not [flag for flag in result.flags if flag.startswith("dead_term")], result.facts[
            "term_shares"
        ]
