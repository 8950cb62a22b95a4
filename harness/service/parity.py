"""Whether an ONNX file computes what the model in PyTorch computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harness.errors import InputError
from harness.service.graph import Encoder, Exported, Session
from harness.tasks.encoded import PaddedRows

TOLERANCE = 1e-4
"""Largest difference of a float32 file from PyTorch that is let through, of a state or logit."""
LONG = 200
"""Tokens of the longest rows compared, where the model takes as many: more than any window of local attention has on
one side."""


@dataclass(frozen=True)
class Parity:
    """A file beside PyTorch on batches of random ids, one row in two padded."""

    largest_difference: float
    """Over real positions (of an encoder) or all outputs (of a head)."""
    shapes: tuple[tuple[int, int], ...]
    """(rows, tokens) of the batches."""

    def require(self) -> None:
        """Raise InputError beyond `TOLERANCE`."""
        if not self.largest_difference <= TOLERANCE:
            raise InputError(
                f"nothing is exported: the ONNX file differs from PyTorch by {self.largest_difference:.1e}, and at most "
                f"{TOLERANCE:g} is let through; take the safetensors (`harness export --model`) instead"
            )


def compare(session: Session, model: Exported, longest: int, padding: int) -> Parity:
    """Run both on single rows, short rows and the longest ones, none of the shape that was traced."""
    shapes = tuple((rows, min(tokens, longest)) for rows, tokens in ((1, 1), (1, 7), (3, 16), (2, LONG)))
    generator = torch.Generator().manual_seed(0)
    differences = [_difference(session, model, _batch(*shape, model, padding, generator)) for shape in shapes]
    return Parity(max(differences), shapes)


def _batch(rows: int, tokens: int, model: Exported, padding: int, generator: torch.Generator) -> PaddedRows:
    vocabulary = int(model.model.config.vocab_size)
    ids = torch.randint(0, vocabulary, (rows, tokens), generator=generator)
    ids[ids == padding] = (padding + 1) % vocabulary  # padding is what the mask says, and nothing else
    mask = torch.ones_like(ids)
    mask[1::2, max(1, tokens // 2) :] = 0
    segments = torch.zeros_like(ids)
    segments[:, tokens // 3 :] = 1
    return PaddedRows(torch.where(mask == 1, ids, padding), mask, segments * mask, int(mask.sum()))


def _difference(session: Session, model: Exported, batch: PaddedRows) -> float:
    segments = (batch.token_type_ids,) if len(session.inputs) == 3 else ()
    with torch.no_grad():
        ours = model(batch.input_ids, batch.attention_mask, *segments).numpy()
    apart = np.abs(session.outputs(batch) - ours)
    real = batch.attention_mask.numpy() == 1
    return float((apart[real] if isinstance(model, Encoder) else apart).max())
