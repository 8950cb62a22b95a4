"""The terms a distillation objective may sum, as declared in YAML: one parameter model each. Imports no torch.

Each model says what its term is, checks itself against a teacher's and a student's shape (`problems`), and names the
class that computes it (`implementation`), imported only where it trains. Definitions: docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from harness.registry import Registry
from harness.spec.base import Frozen, Problem, Shape


class TermParams(Frozen):
    """Base of every term's parameters. `term` selects the term."""

    term: str
    weight: float = Field(default=1.0, gt=0)
    """Factor of this term in the objective."""

    implementation: ClassVar[str]
    """`module:Class`, a `harness.methods.base.Term`."""
    needs_mlm_head: ClassVar[bool] = False
    """True where the teacher's masked-LM head is read."""
    trains_mlm_head: ClassVar[bool] = False
    """True where the student's masked-LM head receives gradient."""

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Why this term cannot serve these shapes (with the values that would work); nothing when it can."""
        yield from ()

    def formula(self) -> str:
        """The term as one line of Unicode mathematics, without its weight."""
        return self.term


TERMS: Registry[type[TermParams]] = Registry("term")
