"""What every layer mapping shares, the registry of mappings, and the field type `AnyMapping`.

A mapping says which teacher layers φ(i) student layer i learns from. Layers are 1-based; 0 is the
embedding output. Static mappings (`harness.methods.mappings.static`) know φ before training; dynamic ones
(`harness.methods.mappings.dynamic`) re-compute weights between all layers during training, in
`harness.methods.mappings.dynamic_weights`. No torch here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union

from pydantic import BeforeValidator, Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.base import Frozen, Problem
from harness.registry import Registry

LayerMap = Mapping[int, tuple[int, ...]]
"""Student layer i -> ascending teacher layers φ(i). Student layers that are absent learn nothing."""


class MappingParams(Frozen):
    """Base of every mapping's parameters. `name` selects the mapping."""

    name: str
    dynamic: ClassVar[bool] = False
    """True where the weights between layers change during training."""
    recipe_version: ClassVar[int] = 1
    """As of a term, `harness.methods.term.TermParams`."""
    implementation: ClassVar[str | None] = None
    """`module:Class` of a dynamic mapping, imported only where it trains."""

    def problems(self, teacher_layers: int, student_layers: int) -> Iterator[Problem]:
        """Why this mapping cannot serve these depths; empty when it can."""
        if student_layers > teacher_layers:
            yield Problem(
                (),
                f"the student has more layers ({student_layers}) than the teacher ({teacher_layers}); "
                f"1 to {teacher_layers} would work",
            )

    def formula(self) -> str:
        """φ(i), or the weights, as one line of Unicode mathematics."""
        return self.name


class StaticMapping(MappingParams):
    """A mapping that is a pure function of the two depths."""

    @abstractmethod
    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ for these depths."""

    def problems(self, teacher_layers: int, student_layers: int) -> Iterator[Problem]:
        """Also refuses a map that leaves every student layer without a teacher layer."""
        yield from super().problems(teacher_layers, student_layers)
        if not self.layers(teacher_layers, student_layers):
            yield Problem(
                (),
                f"the mapping {self.name!r} pairs no layer of a {student_layers}-layer student; "
                "a deeper student or another mapping would work",
            )


class DynamicMapping(MappingParams):
    """A mapping re-computed while training; it may pair any student layer with any teacher layer 1..L_T."""

    dynamic: ClassVar[bool] = True


MAPPINGS: Registry[type[MappingParams]] = Registry("mapping")


def _bare_name(value: Any) -> Any:
    """`uniform` is short for `{name: uniform}`."""
    return {"name": value} if isinstance(value, str) else value


class _AnyRegistered:
    """Makes the field's type the union of every mapping registered when its model is first used."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        union: Any = Union.__getitem__(tuple(MAPPINGS.values()))
        return handler.generate_schema(Annotated[union, Discriminator("name")])

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "enum": list(MAPPINGS)}, handler(schema)]}


if TYPE_CHECKING:
    AnyMapping = MappingParams
else:
    AnyMapping = Annotated[MappingParams, _AnyRegistered(), BeforeValidator(_bare_name)]
    """Any registered mapping, or its bare name. Its users set `defer_build`, so that plugins come first."""
