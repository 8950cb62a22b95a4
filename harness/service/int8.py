"""Dynamic int8 quantisation of an ONNX file: weights as int8, activations quantised as they come.

Which of the four ways keeps most differs from model to model (a multilingual MiniLM can fall to guessing by one of
them), so each is tried on dev rows and the best one kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic


@dataclass(frozen=True)
class Way:
    """One way of writing weights as int8."""

    signed: bool
    per_channel: bool
    """A scale for each output of a matrix, not one for all."""

    @property
    def name(self) -> str:
        """For the model card."""
        return f"{'signed' if self.signed else 'unsigned'}, one scale {'an output' if self.per_channel else 'a matrix'}"


WAYS = tuple(Way(signed, per_channel) for per_channel in (True, False) for signed in (True, False))
"""In the order in which ties are settled."""


def quantise(source: Path, way: Way, target: Path) -> None:
    """Write the int8 form of an ONNX file; embeddings are quantised, too."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises to prepare the file for static quantisation
    try:
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8 if way.signed else QuantType.QUInt8,
            per_channel=way.per_channel,
        )
    finally:
        logger.setLevel(level)


def best_way(source: Path, value_of: Callable[[Path], float], target: Path) -> Way:
    """Write the form with the highest `value_of`, a score on dev rows, to `target`; the way it was made. An undefined score
    (NaN) is below any other."""
    best: tuple[float, Way] | None = None
    tried = target.with_name(f".{target.name}.tried")
    for way in WAYS:
        quantise(source, way, tried)
        value = value_of(tried)
        value = -inf if isnan(value) else value
        if best is None or value > best[0]:
            best = value, way
            tried.replace(target)
    tried.unlink(missing_ok=True)
    assert best is not None
    return best[1]
