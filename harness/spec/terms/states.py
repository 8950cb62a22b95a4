"""Terms on hidden states: outputs of layers, the student's projected to the teacher's width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.mappings import MAPPINGS, AnyMapping, Last, MappingParams, StaticMapping, Uniform
from harness.spec.base import Problem, Shape
from harness.spec.terms.base import TERMS, TermParams

ProjectionKind = Literal["linear", "shared_linear", "per_pair", "none"]
"""How student states reach the teacher's width; `none` where widths are equal."""

PROJECTION_HELP = (
    "W: `linear` is one matrix a student layer, `shared_linear` one for all, `per_pair` one for each pair "
    "of layers, `none` compares the states as they are (equal widths)."
)
REDUCE_HELP = "Over student layers that learn: `mean`, or `sum`, as several papers do."


def mapping_problems(mapping: MappingParams, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """The mapping's own problems, under the field `mapping`."""
    for problem in mapping.problems(teacher.layers, student.layers):
        yield Problem(("mapping", *problem.field), problem.message)


def width_problems(projection: str, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """States of different widths cannot be compared without a projection."""
    if projection == "none" and teacher.width != student.width:
        yield Problem(
            ("projection",),
            f"states of width {student.width} (student) and {teacher.width} (teacher) cannot be compared "
            f"without a projection; `projection: linear` or a student of width {teacher.width} would work",
        )


def _is_dynamic(mapping: Any) -> bool:
    """Whether a mapping, as written or as read, is a dynamic one."""
    if isinstance(mapping, MappingParams):
        return mapping.dynamic
    name = mapping.get("name") if isinstance(mapping, dict) else mapping
    return isinstance(name, str) and name in MAPPINGS and MAPPINGS[name].dynamic


class LayerPairParams(TermParams):
    """What terms share that compare student layer i with each teacher layer of φ(i)."""

    mapping: AnyMapping
    projection: ProjectionKind
    bias: bool = Field(default=False, description="Whether the projections have a bias.")
    reduce: Literal["mean", "sum"] = Field(default="mean", description=REDUCE_HELP)
    pair_weights: tuple[float, ...] | None = Field(
        default=None,
        description=(
            "A factor for each pair of layers of a static mapping, student layers ascending, then teacher "
            "layers ascending; null for 1 each."
        ),
    )

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Depths, widths, and weights that fit the pairs."""
        yield from mapping_problems(self.mapping, teacher, student)
        yield from width_problems(self.projection, teacher, student)
        if self.mapping.name == "attention" and self.projection == "per_pair":
            yield Problem(
                ("projection",),
                "the attention mapping blends all teacher layers into one target, so there are no pairs to "
                "project apart; `linear` or `shared_linear` would work",
            )
        yield from self._pair_weight_problems(teacher, student)

    def _pair_weight_problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        if self.pair_weights is None:
            return
        if not isinstance(self.mapping, StaticMapping):
            yield Problem(
                ("pair_weights",),
                f"the {self.mapping.name} mapping weighs its pairs itself; leave pair_weights out",
            )
            return
        pairs = [(i, j) for i, js in self.mapping.layers(teacher.layers, student.layers).items() for j in js]
        if len(pairs) != len(self.pair_weights):
            yield Problem(
                ("pair_weights",),
                f"{len(self.pair_weights)} weights for {len(pairs)} pairs of layers (student, teacher): "
                f"{', '.join(map(str, pairs))}; {len(pairs)} weights would work",
            )

    def _student_state(self) -> str:
        matrix = {"none": "", "shared_linear": " W", "linear": " W_i", "per_pair": " W_ij"}[self.projection]
        return f"H^S_i{matrix}" + (" + b" if self.bias and matrix else "")

    def _over_layers(self) -> str:
        weights = "w_ij · " if self.pair_weights else ""
        if self.mapping.name == "attention":
            inside = f"{self.reduce}_i"
        elif self.mapping.name == "emd":
            inside = "Σ_ij F_ij" if self.reduce == "mean" else "L_S Σ_ij F_ij"
        else:
            inside = f"{self.reduce}_i mean_{{j∈φ(i)}}"
        return f"{inside} {weights}"


class HiddenStates(LayerPairParams):
    """Mean squared error between projected student states and teacher states (HS)."""

    term: Literal["hidden_states"] = "hidden_states"
    mapping: AnyMapping = Field(
        default=Uniform(), description="Which teacher layers each student layer learns from."
    )
    projection: ProjectionKind = Field(
        default="linear", description=PROJECTION_HELP + " Default under a dynamic mapping: `shared_linear`."
    )
    tokens: Literal["all", "cls"] = Field(
        default="all", description="Compare all real tokens, or each example's first one ([CLS])."
    )
    normalize: Literal["none", "l2", "layer_norm"] = Field(
        default="none",
        description=(
            "Bring each projected student state and each teacher state to unit length (`l2`, PKD) or to "
            "zero mean and unit variance (`layer_norm`) before they are compared."
        ),
    )

    implementation: ClassVar[str] = "harness.methods.states:HiddenStatesTerm"

    @model_validator(mode="before")
    @classmethod
    def _share_under_dynamic_mappings(cls, data: Any) -> Any:
        if isinstance(data, dict) and _is_dynamic(data.get("mapping")):
            return {"projection": "shared_linear", **data}
        return data

    def formula(self) -> str:
        """MSE over pairs."""
        name = {"none": "", "l2": "unit", "layer_norm": "LN"}[self.normalize]
        mark = (lambda state: f"{name}({state})") if name else (lambda state: state)
        target = "Σ_j a_ij H^T_j" if self.mapping.name == "attention" else "H^T_j"
        where = "real tokens" if self.tokens == "all" else "[CLS]"
        return (
            f"{self._over_layers()}mean(({mark(self._student_state())} − {mark(target)})²) over {where} and "
            f"width; {self.mapping.formula()}"
        )


class Cosine(LayerPairParams):
    """One minus the cosine between projected student states and teacher states (DistilBERT)."""

    term: Literal["cosine"] = "cosine"
    mapping: AnyMapping = Field(
        default=Last(), description="Which teacher layers each student layer learns from."
    )
    projection: ProjectionKind = Field(default="none", description=PROJECTION_HELP)

    implementation: ClassVar[str] = "harness.methods.states:CosineTerm"

    def formula(self) -> str:
        """Cosine over pairs."""
        target = "Σ_j a_ij H^T_j" if self.mapping.name == "attention" else "H^T_j"
        return (
            f"{self._over_layers()}(1 − cos({self._student_state()}, {target})), mean over real tokens; "
            f"{self.mapping.formula()}"
        )


class Embeddings(TermParams):
    """Mean squared error between the embedding outputs (TinyBERT, Jiao et al., 2020, L_embd)."""

    term: Literal["embeddings"] = "embeddings"
    projection: Literal["linear", "none"] = Field(
        default="linear", description="W, one matrix to the teacher's width; `none` where widths are equal."
    )
    bias: bool = Field(default=False, description="Whether the projection has a bias.")

    implementation: ClassVar[str] = "harness.methods.states:EmbeddingsTerm"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Widths."""
        yield from width_problems(self.projection, teacher, student)

    def formula(self) -> str:
        """MSE of layer 0."""
        state = "H^S_0" if self.projection == "none" else "H^S_0 W" + (" + b" if self.bias else "")
        return f"mean(({state} − H^T_0)²) over real tokens and width"


TERMS.register("hidden_states", HiddenStates)
TERMS.register("cosine", Cosine)
TERMS.register("embeddings", Embeddings)
