"""Terms on pairs of layers: projections, weights of the pairs, and the refresh of dynamic mappings."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from importlib import import_module

import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.loss import Activations, Batch, Needs, TermLoss
from harness.methods.mappings.dynamic_weights import BlendWeights, PairWeights
from harness.methods.mappings.mapping import MappingParams, StaticMapping
from harness.methods.numerics.least_squares import LinearFit
from harness.methods.numerics.precision import wide, without_autocast
from harness.methods.numerics.projection import Projection
from harness.methods.terms.layer_pairs import LayerPairParams
from harness.shapes import Shape

OBSERVED_TOKENS = 4096
"""Positions whose states of all layers are copied at a time when costs are observed."""

Pairs = dict[tuple[int, int], float]
"""(student layer, teacher layer) -> weight."""


def static_pairs(params: LayerPairParams, mapping: StaticMapping, teacher: Shape, student: Shape) -> Pairs:
    """Mean over φ(i), then mean over student layers, each pair times its own weight."""
    layers = mapping.layers(teacher.layers, student.layers)
    pairs = {(i, j): 1 / (len(js) * len(layers)) for i, js in layers.items() for j in js}
    if params.pair_weights is None:
        return pairs
    return {pair: share * own for (pair, share), own in zip(pairs.items(), params.pair_weights, strict=True)}


def dynamic_weights(mapping: MappingParams, teacher: Shape, student: Shape) -> PairWeights | BlendWeights:
    """The object that a dynamic mapping names as its implementation."""
    assert mapping.implementation is not None
    module, _, name = mapping.implementation.partition(":")
    weights: PairWeights | BlendWeights = getattr(import_module(module), name)(
        mapping, teacher.layers, student.layers
    )
    return weights


class LayerPairLoss(TermLoss):
    """What `hidden_states` and `cosine` share: pairs, projections, and the refresh of dynamic mappings."""

    params: LayerPairParams

    def __init__(self, params: LayerPairParams, teacher: Shape, student: Shape) -> None:
        super().__init__(params, teacher, student)
        self.student_layers = student.layers
        everything = [(i, j) for i in range(1, student.layers + 1) for j in range(1, teacher.layers + 1)]
        self.weights: PairWeights | BlendWeights | None = None
        self._static: Pairs = {}
        if isinstance(params.mapping, StaticMapping):
            self._static = static_pairs(params, params.mapping, teacher, student)
        else:
            self.weights = dynamic_weights(params.mapping, teacher, student)
        named = list(self._static) or everything
        self._needs = tuple(frozenset(layers) for layers in zip(*named, strict=True))
        self.projection = Projection(params.projection, named, student.width, teacher.width, params.bias)

    @property
    def pairs(self) -> Pairs:
        """Weights of the pairs as they stand; they sum to 1 unless `pair_weights` say otherwise."""
        return self.weights.pairs() if isinstance(self.weights, PairWeights) else self._static

    @abstractmethod
    def distance(
        self, x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
    ) -> Tensor:
        """Weighted sum over targets, summed over real positions; states (batch, tokens, teacher width)."""

    @abstractmethod
    def comparable(self, state: Tensor) -> Tensor:
        """The state so scaled that `distance` is the squared distance of two such states."""

    def read(self, state: Tensor) -> Tensor:
        """What is compared of a projected student state or a teacher state, before the distance."""
        return state

    def rows(self, state: Tensor) -> Tensor:
        """The positions that are compared."""
        return state

    def mask(self, batch: Batch) -> Tensor | None:
        """(batch, tokens) True at compared positions that are real; None where all are."""
        return batch.attention_mask if batch.padded else None

    def teacher_needs(self) -> Needs:
        return Needs(hidden=self._needs[1])

    def student_needs(self) -> Needs:
        return Needs(hidden=self._needs[0])

    def count(self, batch: Batch) -> int:
        """Real tokens."""
        return batch.tokens

    def _projected(self, student: Activations, i: int, j: int = 0) -> Tensor:
        return self.read(self.projection(self.rows(student.hidden[i]), i, j))

    def forward(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """Sum over compared positions of the weighted distance of all pairs."""
        factor = 1.0 if self.params.reduce == "mean" else float(self._learning_layers())
        if isinstance(self.weights, BlendWeights):
            return self._to_blends(self.weights, teacher, student, batch) * factor
        mask = self.mask(batch)
        targets = {j: self.read(self.rows(teacher.hidden[j])) for j in {j for _, j in self.pairs}}
        losses = []
        for layers in self._grouped():
            x = self._projected(student, *layers[0])
            weights = [self.pairs[pair] for pair in layers]
            losses.append(self.distance(x, [targets[j] for _, j in layers], weights, mask))
        return torch.stack(losses).sum() * factor

    def _learning_layers(self) -> int:
        return len({i for i, _ in self._static}) or self.student_layers

    def _grouped(self) -> list[list[tuple[int, int]]]:
        """Pairs that share a projected student state."""
        if self.params.projection == "per_pair":
            return [[pair] for pair in self.pairs]
        by_layer: dict[int, list[tuple[int, int]]] = {}
        for i, j in self.pairs:
            by_layer.setdefault(i, []).append((i, j))
        return list(by_layer.values())

    def _to_blends(
        self, weights: BlendWeights, teacher: Activations, student: Activations, batch: Batch
    ) -> Tensor:
        """Each student layer against its own blend of all teacher layers, made anew for each example."""
        own, blends = self._blends(weights, teacher, student)
        mask = self.mask(batch)
        losses = [self.distance(x, [blends[i]], [1 / len(own)], mask) for i, x in own.items()]
        return torch.stack(losses).sum()

    def _blends(
        self, weights: BlendWeights, teacher: Activations, student: Activations
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Each student layer's projected state and the blend that it is compared with."""
        own = {i: self._projected(student, i) for i in sorted(self._needs[0])}
        theirs = [self.read(self.rows(teacher.hidden[j])) for j in sorted(self._needs[1])]
        with torch.no_grad(), without_autocast(theirs[0]):
            first = torch.stack([wide(state[:, 0]) for state in theirs])
            shares = {i: weights.blend(wide(x[:, 0]), first) for i, x in own.items()}
            blends = {i: torch.zeros_like(wide(theirs[0])) for i in own}
            for j, state in enumerate(theirs):
                for i, blend in blends.items():
                    blend += shares[i][:, j, None, None] * state
        return own, blends

    @torch.no_grad()
    def regressions(self, teacher: Activations, student: Activations, batch: Batch) -> Iterator[LinearFit]:
        """States of the student to what `target` makes of the teacher's, by the mapping as it stands."""
        mask = self.mask(batch)

        def flat(state: Tensor) -> Tensor:
            return state.flatten(0, 1) if mask is None else state[mask]

        if isinstance(self.weights, BlendWeights):
            _, blends = self._blends(self.weights, teacher, student)
            for i, blend in blends.items():
                x = flat(self.rows(student.hidden[i]))
                yield from self.projection.regressions(i, 0, x, self.target(flat(blend)))
            return
        for (i, j), weight in self.pairs.items():
            x, t = flat(self.rows(student.hidden[i])), flat(self.rows(teacher.hidden[j]))
            yield from self.projection.regressions(i, j, x, self.target(self.read(t)), weight)

    def target(self, state: Tensor) -> Tensor:
        """What a linear map of the student's state is fitted to."""
        return state

    def due(self, step: int) -> bool:
        """Whether the mapping's weights are re-computed before this step."""
        return isinstance(self.weights, PairWeights) and self.weights.due(step)

    @property
    def observes(self) -> bool:
        """Whether a refresh needs to see the batch."""
        return isinstance(self.weights, PairWeights) and self.weights.costs != "none"

    @torch.no_grad()
    def observe(self, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
        """(L_S, L_T) float64: cost of every pair, summed over compared positions."""
        assert isinstance(self.weights, PairWeights)
        students, teachers = sorted(self._needs[0]), sorted(self._needs[1])
        if not self.observes:
            return torch.zeros(len(students), len(teachers), dtype=torch.float64)
        if self.params.projection != "per_pair":
            own = [self._projected(student, i) for i in students]
            return self._costs(own, [self.read(self.rows(teacher.hidden[j])) for j in teachers], batch)
        columns = [
            self._costs(
                [self._projected(student, i, j) for i in students],
                [self.read(self.rows(teacher.hidden[j]))],
                batch,
            )
            for j in teachers
        ]
        return torch.cat(columns, dim=1)

    def _costs(self, students: list[Tensor], teachers: list[Tensor], batch: Batch) -> Tensor:
        """‖x − t‖² of all pairs as ‖x‖² + ‖t‖² − 2⟨x, t⟩, so that the pairs are one matrix product."""
        assert isinstance(self.weights, PairWeights)
        on_layer_norm = self.weights.costs == "layer_norm"
        mask = self.mask(batch)
        rows = max(1, OBSERVED_TOKENS // students[0].shape[1])
        total = torch.zeros(len(students), len(teachers), dtype=torch.float64, device=students[0].device)

        def flat(states: list[Tensor], part: slice) -> Tensor:
            picked = [wide(state[part]) for state in states]
            picked = [
                mean_square(layer_normed(state)) if on_layer_norm else self.comparable(state)
                for state in picked
            ]
            if mask is not None:
                picked = [state.masked_fill(~mask[part, :, None], 0) for state in picked]
            return torch.stack([state.flatten() for state in picked])

        with without_autocast(students[0]):
            for start in range(0, students[0].shape[0], rows):
                x, t = (flat(states, slice(start, start + rows)) for states in (students, teachers))
                norms = x.square().sum(dim=1)[:, None] + t.square().sum(dim=1)
                total += (norms - 2 * (x @ t.mT)).clamp_min(0)
        return total

    def refresh(self, observed: Tensor, count: int, generator: torch.Generator) -> None:
        """Re-compute the mapping's weights from the mean cost of every pair."""
        assert isinstance(self.weights, PairWeights)
        self.weights.weights = self.weights.refresh(observed.double().cpu() / max(count, 1), generator)

    def get_extra_state(self) -> Tensor:
        """The weights of a dynamic mapping, for a resumed run to go on with; (0, 0) where there are none."""
        return self.weights.weights if isinstance(self.weights, PairWeights) else torch.zeros(0, 0)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what `get_extra_state` gave."""
        if isinstance(self.weights, PairWeights):
            self.weights.weights = state


def layer_normed(state: Tensor) -> Tensor:
    """Zero mean and unit variance over width, no affine part."""
    return functional.layer_norm(state, state.shape[-1:])


def mean_square(state: Tensor) -> Tensor:
    """The state so scaled that squared distances are means over width, not sums."""
    return state / math.sqrt(state.shape[-1])
