"""Start a student from a teacher that is as wide as it is, or wider: embeddings, masked-LM head and layers, projected.

With the teacher's states x (width d_T) and the first d_S principal directions P of its word embeddings, the student's
states stand for xP. Widths that are equal are not projected, and modules whose sizes are all equal are plain copies.
The formulas are in docs/methods.md, "Where a student starts"."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.families import EncoderFamily, LayerParts, MapRows, family_of
from harness.models.loaded import LoadedModel
from harness.models.principal_directions import one_thread, signs
from harness.shapes import Shape


@dataclass(frozen=True)
class WidthProjection:
    """From the teacher's width to the student's."""

    directions: Tensor | None
    """P, (d_T, d_S) float64 with orthonormal columns; None where widths are equal."""
    variance_kept: float
    """Share of the variance of the teacher's word embeddings along P, 0..1."""

    def rows(self, states: Tensor) -> Tensor:
        """(…, d_T) -> (…, d_S), float64: rows that are states, or a matrix that reads them."""
        return states.double() if self.directions is None else states.double() @ self.directions

    def norm_scale(self) -> float:
        """How much longer projected states are than a LayerNorm of the student makes them."""
        if self.directions is None:
            return 1.0
        wide, narrow = self.directions.shape
        return math.sqrt(self.variance_kept * wide / narrow)

    def norm_weight(self, weight: Tensor) -> Tensor:
        """The gains of a LayerNorm, (d_T,) -> (d_S,): of P' diag(gain) P the diagonal, rescaled."""
        if self.directions is None:
            return weight
        return (weight.double() @ self.directions.square()) * self.norm_scale()


def width_projection(teacher: LoadedModel, width: int) -> WidthProjection:
    """To a student's `width`, at most the teacher's."""
    if width == teacher.shape.width:
        return WidthProjection(None, 1.0)
    found = teacher.principal_directions
    return WidthProjection(found.first(width), found.kept(width))


def start_from_teacher(
    teacher: LoadedModel, student: PreTrainedModel, shape: Shape, layers: list[int] | None
) -> None:
    """Give `student`, of `shape`, its teacher's embeddings and masked-LM head, and the teacher layers (1-based) of that
    list, one for each of its own; without a list its layers stay as they are."""
    family = family_of(teacher.model)
    projection = width_projection(teacher, shape.width)
    with torch.no_grad(), one_thread():
        _embeddings(family.embeddings(teacher.model), family.embeddings(student), projection)
        _norm(family.final_norm(teacher.model), family.final_norm(student), projection)
        _head(teacher.model, student, family, projection)
        if teacher.shape.heads == shape.heads:
            for mine, its in zip(family.shared(teacher.model), family.shared(student), strict=True):
                its.load_state_dict(mine.state_dict())
        source, target = family.layers(teacher.model), family.layers(student)
        for layer, number in zip(target, layers or (), strict=layers is not None):
            if _same_layers(teacher.shape, shape):
                _copy(family, source[number - 1], layer)
            else:
                _layer(family, source[number - 1], layer, projection, (teacher.shape, shape))


def _same_layers(one: Shape, other: Shape) -> bool:
    return (one.width, one.heads, one.ffn) == (other.width, other.heads, other.ffn)


def _copy(family: EncoderFamily, source: nn.Module, target: nn.Module) -> None:
    """A layer as it is. Where only one of the two has a norm before attention, as below the first layer of some families,
    the source's gains move into the maps that read it, and a norm that the source lacks stays as it is drawn."""
    if not family.projects_layers:
        target.load_state_dict(source.state_dict())
        return
    target.load_state_dict(source.state_dict(), strict=False)
    gains = _lost_gains(family, source, target)
    for module in family.projections(target).modules if gains is not None else ():
        module.weight.mul_(gains)


def _lost_gains(family: EncoderFamily, source: nn.Module, target: nn.Module) -> Tensor | None:
    """Of the source's norm before attention, (d_T,), where the target has none."""
    mine, its = family.parts(source).attention_norm, family.parts(target).attention_norm
    return mine.weight if hasattr(mine, "weight") and not hasattr(its, "weight") else None


def _embeddings(source: nn.Module, target: nn.Module, projection: WidthProjection) -> None:
    """Tables of rows are projected, the LayerNorm with them; buffers are the same at any width."""
    if projection.directions is None:
        target.load_state_dict(source.state_dict())
        return
    for name, module in target.named_modules():
        if isinstance(module, nn.Embedding):
            module.weight.copy_(projection.rows(source.get_parameter(f"{name}.weight")))
        elif isinstance(module, nn.LayerNorm):
            _norm(source.get_submodule(name), module, projection)


def _head(
    teacher: PreTrainedModel, student: PreTrainedModel, family: EncoderFamily, projection: WidthProjection
) -> None:
    """The dense map, its LayerNorm and the decoder; a decoder that is tied to the word embedding is that already."""
    if projection.directions is None:
        heads = family.head_modules(teacher)
        for name, module in family.head_modules(student).items():
            module.load_state_dict(heads[name].state_dict())
        return
    source, target = family.head(teacher), family.head(student)
    dense = projection.rows(projection.rows(source.dense.weight).T).T
    _write(target.dense, dense, _projected(source.dense.bias, projection))
    _norm(source.norm, target.norm, projection)
    if target.weight is not student.get_input_embeddings().weight:
        target.weight.copy_(projection.rows(source.weight))
    target.bias.copy_(source.bias)


def _norm(source: nn.Module | None, target: nn.Module | None, projection: WidthProjection) -> None:
    """Gains and biases, as far as both norms have them."""
    for name, project in (("weight", projection.norm_weight), ("bias", projection.rows)):
        mine, its = getattr(source, name, None), getattr(target, name, None)
        if mine is not None and its is not None:
            its.copy_(project(mine))


def _projected(bias: Tensor | None, projection: WidthProjection) -> Tensor | None:
    return None if bias is None else projection.rows(bias)


def _layer(
    family: EncoderFamily,
    source: nn.Module,
    target: nn.Module,
    projection: WidthProjection,
    shapes: tuple[Shape, Shape],
) -> None:
    _attention(family, source, target, projection, shapes)
    _feed_forward(family.parts(source), family.parts(target), projection, shapes[1].ffn)
    mine, its = family.parts(source), family.parts(target)
    _norm(mine.attention_norm, its.attention_norm, projection)
    _norm(mine.norm, its.norm, projection)


def _feed_forward(mine: LayerParts, its: LayerParts, projection: WidthProjection, neurons: int) -> None:
    """The strongest neurons, by the product of the norms of what they read and write."""
    writes = projection.rows(mine.outer.weight.T)
    into = [(mine.inner, its.inner)]
    if mine.gate is not None and its.gate is not None:
        into.append((mine.gate, its.gate))
    reads = [projection.rows(source.weight) for source, _ in into]
    strengths = torch.stack([matrix.norm(dim=1) for matrix in (*reads, writes)]).prod(dim=0)
    kept = strongest(strengths, neurons)
    for (source, target), matrix in zip(into, reads, strict=True):
        _write(target, matrix[kept], None if source.bias is None else source.bias[kept])
    _write(its.outer, writes[kept].T, _projected(mine.outer.bias, projection))


def _attention(
    family: EncoderFamily,
    source: nn.Module,
    target: nn.Module,
    projection: WidthProjection,
    shapes: tuple[Shape, Shape],
) -> None:
    """The strongest heads, each by maps of lower rank where the student's heads are smaller."""
    maps, its = family.projections(source), family.projections(target)
    output = family.parts(source).attention_output
    heads = shapes[0].heads
    gains = _lost_gains(family, source, target)
    query, key, value = (
        _by_head(one, heads, projection, gains) for one in (maps.query, maps.key, maps.value)
    )
    writes = projection.rows(output.weight.T).unflatten(0, (heads, -1))
    kept = strongest((writes.mT @ value[..., :-1]).norm(dim=(1, 2)), shapes[1].heads)
    size, full = shapes[1].width // shapes[1].heads, shapes[0].width // heads
    if size < full:
        query, key = low_rank(query[kept], key[kept], size, scale=math.sqrt(size / full))
        writes, value = low_rank(writes[kept], value[kept], size)
    else:
        query, key, value, writes = query[kept], key[kept], value[kept], writes[kept]
    for module, matrix in ((its.query, query), (its.key, key), (its.value, value)):
        joined = matrix.flatten(0, 1)
        _write(module, joined[:, :-1], joined[:, -1])
    bias = _projected(output.bias, projection)
    _write(family.parts(target).attention_output, writes.flatten(0, 1).T, bias)


def _by_head(
    module: nn.Linear | MapRows, heads: int, projection: WidthProjection, gains: Tensor | None
) -> Tensor:
    """(heads, head size, d_S + 1) float64: each head's map of projected states, its bias (or 0) as the last column."""
    weight = module.weight if gains is None else module.weight * gains
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias
    joined = torch.cat([projection.rows(weight), bias.double()[:, None]], dim=1)
    return joined.unflatten(0, (heads, -1))


def strongest(strengths: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest, ascending; of equal ones the first."""
    order = strengths.sort(descending=True, stable=True).indices
    return order[:count].sort().values


def low_rank(left: Tensor, right: Tensor, size: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """(h, size, a) and (h, size, b) whose product left' right is, for each of h, the best approximation of rank `size` of
    that of (h, n, a) and (h, n, b), times `scale`: half of each singular value on either side.

    float64; a and b are at least `size`, and n is."""
    bases = [torch.linalg.qr(one.mT) for one in (left, right)]
    (q_left, r_left), (q_right, r_right) = bases
    u, values, v = torch.linalg.svd(r_left @ r_right.mT)
    half = (scale * values[:, :size]).sqrt()[:, None, :]
    u, v = q_left @ u[..., :size], q_right @ v.mT[..., :size]
    turned = torch.stack([signs(one) for one in u])[:, None, :]
    return (u * turned * half).mT, (v * turned * half).mT


def _write(module: nn.Linear | MapRows, weight: Tensor, bias: Tensor | None = None) -> None:
    module.weight.copy_(weight)
    if bias is not None and module.bias is not None:
        module.bias.copy_(bias)
