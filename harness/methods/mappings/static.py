"""Static layer mappings: pure functions of the teacher's depth L_T, the student's L_S, and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.base import Label, Problem
from harness.methods.mappings.mapping import MAPPINGS, LayerMap, StaticMapping


def _uniform(i: int, teacher_layers: int, student_layers: int) -> int:
    """⌊i·L_T/L_S⌋."""
    return i * teacher_layers // student_layers


class Last(StaticMapping):
    """Only the last layers: L_S -> {L_T}."""

    name: Literal["last"] = "last"

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(L_S) = {L_T}."""
        return {student_layers: (teacher_layers,)}

    def formula(self) -> str:
        return "φ(L_S) = {L_T}"


class LastK(StaticMapping):
    """The teacher's last L_S layers in order, one to one; PKD-Last with `exclude_last` (Sun et al., 2019)."""

    name: Literal["last_k"] = "last_k"
    exclude_last: bool = Field(
        default=False, description="Leave the last student layer to other terms (PKD-Last)."
    )

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = {L_T − L_S + i}."""
        top = student_layers - self.exclude_last
        return {i: (teacher_layers - student_layers + i,) for i in range(1, top + 1)}

    def formula(self) -> str:
        return "φ(i) = {L_T − L_S + i}" + (", i < L_S" if self.exclude_last else "")


class Uniform(StaticMapping):
    """Evenly spaced teacher layers, one to one: i -> {⌊i·L_T/L_S⌋}."""

    name: Literal["uniform"] = "uniform"
    exclude_last: bool = Field(
        default=False,
        description="Leave the last layer to other terms (PKD-Skip, Sun et al., 2019); L_S must divide L_T.",
    )
    include_embeddings: bool = Field(
        default=False, description="Pair the embedding outputs too, 0 -> {0} (TinyBERT, Jiao et al., 2020)."
    )

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = {⌊i·L_T/L_S⌋}, from i = 0 with embeddings, to i = L_S − 1 without the last."""
        first = 0 if self.include_embeddings else 1
        top = student_layers - self.exclude_last
        return {i: (_uniform(i, teacher_layers, student_layers),) for i in range(first, top + 1)}

    def problems(self, teacher_layers: int, student_layers: int) -> Iterator[Problem]:
        """PKD-Skip is defined only where the student's depth divides the teacher's."""
        yield from super().problems(teacher_layers, student_layers)
        if self.exclude_last and student_layers <= teacher_layers and teacher_layers % student_layers:
            depths = [n for n in range(2, teacher_layers + 1) if teacher_layers % n == 0]
            yield Problem(
                ("exclude_last",),
                f"skipping evenly and leaving out the last layer (PKD-Skip) needs the student's depth "
                f"({student_layers}) to divide the teacher's ({teacher_layers}): depths {depths} would work, "
                "or `exclude_last: false`",
            )

    def formula(self) -> str:
        last = ", i < L_S" if self.exclude_last else ""
        return "φ(i) = {⌊i·L_T/L_S⌋}" + (", i ≥ 0" if self.include_embeddings else "") + last


class UniformConsecutive(StaticMapping):
    """Consecutive blocks of teacher layers, one student layer to several (Udagawa et al., 2023)."""

    name: Literal["uniform_consecutive"] = "uniform_consecutive"
    variant: Literal["closed", "half_open", "balanced"] = Field(
        default="closed",
        description=(
            "With k = ⌈L_T/L_S⌉: `closed` is {k(i−1), …, k·i} as the study prints it (neighbours share a "
            "layer, student layer 1 also learns the embedding output, clipped at L_T); `half_open` leaves "
            "k(i−1) out; `balanced` is {⌊(i−1)L_T/L_S⌋+1, …, ⌊i·L_T/L_S⌋}."
        ),
    )
    allow_empty: Annotated[bool, Label(since=2)] = Field(
        default=False,
        description="Accept student layers that learn from no teacher layer (`half_open` only).",
    )

    def block(self, i: int, teacher_layers: int, student_layers: int) -> range:
        """Teacher layers of student layer i; empty where `half_open` runs out of teacher layers."""
        if self.variant == "balanced":
            low = _uniform(i - 1, teacher_layers, student_layers) + 1
            return range(low, _uniform(i, teacher_layers, student_layers) + 1)
        k = -(-teacher_layers // student_layers)
        high = min(k * i, teacher_layers)
        low = min(k * (i - 1), teacher_layers) if self.variant == "closed" else k * (i - 1) + 1
        return range(low, high + 1)

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = the i-th block; student layers with an empty block are absent."""
        blocks = {
            i: tuple(self.block(i, teacher_layers, student_layers)) for i in range(1, student_layers + 1)
        }
        return {i: block for i, block in blocks.items() if block}

    def problems(self, teacher_layers: int, student_layers: int) -> Iterator[Problem]:
        """Half-open blocks may run out of teacher layers: refused unless allowed."""
        yield from super().problems(teacher_layers, student_layers)
        taught = self.layers(teacher_layers, student_layers)
        empty = [i for i in range(1, student_layers + 1) if i not in taught]
        if empty and not self.allow_empty and student_layers <= teacher_layers:
            plural = "s" if len(empty) > 1 else ""
            depths = [n for n in range(1, teacher_layers + 1) if n == len(self.layers(teacher_layers, n))]
            yield Problem(
                ("variant",),
                f"`half_open` blocks of ⌈{teacher_layers}/{student_layers}⌉ layers leave student "
                f"layer{plural} {', '.join(map(str, empty))} without a teacher layer; `variant: closed` or "
                f"`variant: balanced` would work, so would `allow_empty: true` or a student of {depths} "
                "layers",
            )

    def formula(self) -> str:
        if self.variant == "balanced":
            return "φ(i) = {⌊(i−1)·L_T/L_S⌋+1, …, ⌊i·L_T/L_S⌋}"
        low = "k(i−1)" if self.variant == "closed" else "k(i−1)+1"
        return f"φ(i) = {{{low}, …, min(k·i, L_T)}}, k = ⌈L_T/L_S⌉"


class UniformLast(StaticMapping):
    """Uniform together with the last layers ("Uniform+Last"); a layer named twice counts once."""

    name: Literal["uniform_last"] = "uniform_last"
    variant: Literal["last_k", "final"] = Field(
        default="last_k",
        description="What joins the uniform layer: the `last_k` layer L_T − L_S + i, or the `final` one L_T.",
    )

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = {⌊i·L_T/L_S⌋} ∪ {L_T − L_S + i} or ∪ {L_T}."""

        def last(i: int) -> int:
            return teacher_layers - (student_layers - i if self.variant == "last_k" else 0)

        return {
            i: tuple(sorted({_uniform(i, teacher_layers, student_layers), last(i)}))
            for i in range(1, student_layers + 1)
        }

    def formula(self) -> str:
        return "φ(i) = {⌊i·L_T/L_S⌋} ∪ " + ("{L_T − L_S + i}" if self.variant == "last_k" else "{L_T}")


class Reverse(StaticMapping):
    """Uniform, reversed: a control that should not work."""

    name: Literal["reverse"] = "reverse"

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = {⌊(L_S+1−i)·L_T/L_S⌋}."""
        return {
            i: (_uniform(student_layers + 1 - i, teacher_layers, student_layers),)
            for i in range(1, student_layers + 1)
        }

    def formula(self) -> str:
        return "φ(i) = {⌊(L_S+1−i)·L_T/L_S⌋}"


for _mapping in (Last, LastK, Uniform, UniformConsecutive, UniformLast, Reverse):
    MAPPINGS.register(_mapping.model_fields["name"].default, _mapping)
