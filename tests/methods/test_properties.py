"""What every term promises, whatever its options: checked on random activations in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.methods.loss import Activations, Batch
from harness.methods.losses.qkv import QkvLoss
from harness.methods.numerics.projection import Projection
from harness.methods.objective import Objective, build_objective
from harness.methods.terms import Cosine, HiddenStates, Mlm, TermParams
from harness.shapes import Shape

from .random_models import EVERY_TERM, NARROW, TEACHER, activations, batch, batch_rows, leaves, rows_of

TOKENS = 6
SETTINGS = settings(max_examples=8, deadline=None)
every_term = pytest.mark.parametrize("params", EVERY_TERM.values(), ids=EVERY_TERM)
lengths = st.lists(st.integers(1, TOKENS), min_size=2, max_size=4)


def objective_of(params: TermParams, student: Shape = NARROW) -> Objective:
    return build_objective([params], TEACHER, student, torch.Generator().manual_seed(0)).double()


def refreshed(objective: Objective, teacher: Activations, student: Activations, whole: Batch) -> Objective:
    """The objective with its mapping as after one refresh on the whole batch."""
    due = objective.due(0)
    observed = objective.observe(due, teacher, student, whole)
    objective.refresh(due, observed, objective.counts(whole), torch.Generator().manual_seed(1))
    return objective


def loss_of(objective: Objective, teacher: Activations, student: Activations, whole: Batch) -> Tensor:
    counts = objective.counts(whole)
    return objective.loss(objective(teacher, student, whole), counts)[0]


def gradients(loss: Tensor, student: Activations, objective: Objective) -> dict[str, Tensor]:
    """Gradient of every leaf of the student and every projection that has one."""
    named = leaves(student) | dict(objective.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}


def assert_same(got: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert got.keys() == want.keys()
    for name, gradient in want.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


@every_term
@given(lengths=lengths, seed=st.integers(0, 99))
@SETTINGS
def test_a_loss_is_never_negative(params: TermParams, lengths: list[int], seed: int) -> None:
    whole = batch(lengths, TOKENS, seed)
    teacher = activations(TEACHER, len(lengths), TOKENS, seed)
    student = activations(NARROW, len(lengths), TOKENS, seed + 1, grad=True)
    objective = refreshed(objective_of(params), teacher, student, whole)
    assert loss_of(objective, teacher, student, whole).item() >= 0


def with_identity(objective: Objective) -> Objective:
    """Projections replaced by the identity of equal widths."""
    with torch.no_grad():
        for module in objective.modules():
            if isinstance(module, Projection):
                for matrix in module.matrices.values():
                    assert isinstance(matrix, torch.nn.Linear)
                    torch.nn.init.eye_(matrix.weight)
            if isinstance(module, QkvLoss):
                module.weight.copy_(torch.eye(module.weight.shape[-1]).expand_as(module.weight))
    return objective


def pairs_layers_with_themselves(params: TermParams) -> bool:
    """Terms that are 0 only where each student layer learns from itself alone."""
    name = params.mapping.name if isinstance(params, (HiddenStates, Cosine)) else "last"
    return name not in {"uniform_consecutive", "attention", "reverse"}


@pytest.mark.parametrize(
    "params",
    [p for p in EVERY_TERM.values() if not isinstance(p, Mlm) and pairs_layers_with_themselves(p)],
    ids=lambda params: params.term,
)
@given(lengths=lengths, seed=st.integers(0, 99))
@SETTINGS
def test_a_student_that_is_the_teacher_has_no_loss(params: TermParams, lengths: list[int], seed: int) -> None:
    whole = batch(lengths, TOKENS, seed)
    model = activations(TEACHER, len(lengths), TOKENS, seed)
    same_layers = (
        {"teacher_layer": 2, "student_layer": 2} if "teacher_layer" in params.model_fields_set else {}
    )
    objective = with_identity(objective_of(params.model_copy(update=same_layers), student=TEACHER))
    refreshed(objective, model, model, whole)
    assert loss_of(objective, model, model, whole).item() == pytest.approx(0, abs=1e-12)


@every_term
@given(lengths=lengths, seed=st.integers(0, 99))
@SETTINGS
def test_what_stands_in_padding_changes_nothing(params: TermParams, lengths: list[int], seed: int) -> None:
    whole = batch(lengths, TOKENS, seed)
    models = []
    for fill in (0.0, 1e3):
        teacher = activations(TEACHER, len(lengths), TOKENS, seed)
        student = activations(NARROW, len(lengths), TOKENS, seed + 1, grad=True)
        with torch.no_grad():
            for model in (teacher, student):
                for name, state in leaves(model).items():
                    if not name.startswith("head"):
                        state[~whole.attention_mask] = fill
        models.append((teacher, student))
    losses, found = [], []
    for teacher, student in models:
        objective = refreshed(objective_of(params), teacher, student, whole)
        losses.append(loss_of(objective, teacher, student, whole))
        found.append(gradients(losses[-1], student, objective))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    assert_same(found[0], found[1])
    for name, gradient in found[1].items():
        if name.split()[0] in {"hidden", "query", "key", "value"}:
            assert not gradient[~whole.attention_mask].any(), name


@every_term
@given(lengths=lengths, seed=st.integers(0, 99))
@SETTINGS
def test_the_order_of_a_batch_changes_nothing(params: TermParams, lengths: list[int], seed: int) -> None:
    whole = batch(lengths, TOKENS, seed)
    teacher = activations(TEACHER, len(lengths), TOKENS, seed)
    student = activations(NARROW, len(lengths), TOKENS, seed + 1)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    straight = loss_of(refreshed(objective_of(params), teacher, student, whole), teacher, student, whole)
    turned = rows_of(teacher, order), rows_of(student, order), batch_rows(whole, order)
    shuffled = loss_of(refreshed(objective_of(params), *turned), *turned)
    torch.testing.assert_close(shuffled, straight, rtol=1e-9, atol=1e-12)


@every_term
@given(lengths=lengths, seed=st.integers(0, 99), cut=st.integers(1, 3))
@SETTINGS
def test_splitting_a_batch_changes_neither_loss_nor_gradient(
    params: TermParams, lengths: list[int], seed: int, cut: int
) -> None:
    whole = batch(lengths, TOKENS, seed)
    teacher = activations(TEACHER, len(lengths), TOKENS, seed)
    student = activations(NARROW, len(lengths), TOKENS, seed + 1, grad=True)
    parts = [slice(start, start + cut) for start in range(0, len(lengths), cut)]
    cuts = [(rows_of(teacher, part), rows_of(student, part), batch_rows(whole, part)) for part in parts]

    together = refreshed(objective_of(params), teacher, student, whole)
    apart = objective_of(params)
    due, observed = apart.due(0), {}
    for seen in cuts:
        for name, value in apart.observe(due, *seen).items():
            observed[name] = observed.get(name, 0) + value
    counts = apart.counts(whole)
    assert counts == {name: sum(apart.counts(seen[2])[name] for seen in cuts) for name in counts}
    apart.refresh(due, observed, counts, torch.Generator().manual_seed(1))

    want = loss_of(together, teacher, student, whole)
    got = torch.stack([apart.loss(apart(*seen), counts)[0] for seen in cuts]).sum()
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
    assert_same(gradients(got, student, apart), gradients(want, student, together))


@every_term
def test_a_full_batch_may_skip_masking(params: TermParams) -> None:
    teacher = activations(TEACHER, 3, TOKENS)
    student = activations(NARROW, 3, TOKENS, seed=1)
    full = batch([TOKENS] * 3, TOKENS)
    assert not full.padded
    masked = Batch(full.input_ids, full.attention_mask, full.labels, padded=True)
    fast, slow = (
        loss_of(refreshed(objective_of(params), teacher, student, one), teacher, student, one)
        for one in (full, masked)
    )
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=0)


@every_term
def test_a_term_reads_no_more_than_it_says(params: TermParams) -> None:
    whole = batch([6, 4], TOKENS)
    objective = objective_of(params)
    models = []
    for shape, needs in ((TEACHER, objective.teacher_needs), (NARROW, objective.student_needs)):
        full = activations(shape, 2, TOKENS, seed=shape.layers)
        kept = {layer: state for layer, state in full.hidden.items() if layer in needs.hidden}
        qkv = {layer: x for layer, x in full.qkv.items() if layer in needs.qkv}
        models.append(Activations(kept, qkv, full.mlm if needs.mlm else None, full.heads, full.layers))
    assert loss_of(refreshed(objective, *models, whole), *models, whole).isfinite()


@every_term
def test_gradient_reaches_the_masked_lm_head_where_the_parameters_say_so(params: TermParams) -> None:
    whole = batch([6, 4], TOKENS)
    teacher = activations(TEACHER, 2, TOKENS)
    student = activations(NARROW, 2, TOKENS, seed=1, grad=True)
    objective = refreshed(objective_of(params), teacher, student, whole)
    found = gradients(loss_of(objective, teacher, student, whole), student, objective)
    assert ("head weight" in found) == params.trains_mlm_head
    assert all(gradient.any() for gradient in found.values())
