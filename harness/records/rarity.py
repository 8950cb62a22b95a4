"""Scores by how many words of a row the tokenizer cuts into several pieces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.base import Frozen


class RarityScore(Frozen):
    """One metric on one quarter of the reported rows of a task in one language."""

    task: str
    language: str
    metric: str
    quarter: Annotated[int, Field(ge=1, le=4)]
    """1: fewest split words. Rows of equal share stay together, so quarters differ in size."""
    low: Annotated[float, Field(ge=0, le=1)]
    """Smallest share of split words in the quarter."""
    high: Annotated[float, Field(ge=0, le=1)]
    n: Annotated[int, Field(ge=1)]
    value: float | None
    """Null where the metric is undefined on these rows."""
