"""What every term's parameters share, and the registry of terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import ConfigDict, Field

from harness.base import Frozen, Problem
from harness.registry import Registry
from harness.shapes import Shape


class TermParams(Frozen):
    """Base of every term's parameters. `term` selects the term."""

    # Built at first use, when the mappings of installed packages have been registered too.
    model_config = ConfigDict(defer_build=True)

    term: str
    weight: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="Factor of this term in the objective."
    )

    implementation: ClassVar[str]
    """`module:Class`, a `harness.methods.loss.TermLoss`."""
    recipe_version: ClassVar[int] = 1
    """Raised by a term of an installed package when a change of its code changes what it computes: another version is
    another question (`harness.spec.plugins`)."""
    needs_mlm_head: ClassVar[bool] = False
    """True where the teacher's masked-LM head is read."""
    trains_mlm_head: ClassVar[bool] = False
    """True where the student's masked-LM head receives gradient."""

    @property
    def needs_masked_input(self) -> bool:
        """True where corrupted positions are read, so that the recipe must say `input: masked`."""
        return False

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Why this term cannot serve these shapes, with the values that would work; empty when it can."""
        yield from ()

    def formula(self) -> str:
        """The term as one line of Unicode mathematics, without its weight."""
        return self.term


TERMS: Registry[type[TermParams]] = Registry("term")
