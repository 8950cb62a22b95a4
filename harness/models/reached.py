"""Train only the rows of an embedding table that the data can reach, and keep the others out of memory.

A fine-tuning run looks up the ids of its own rows and no others. The other rows of the table would receive zero
gradients for ever, yet cost the optimiser two moments and an update each step: for a multilingual encoder that is most
of its parameters. Without them every output is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel


class ReachedEmbedding(nn.Module):
    """The rows `ids` of a table, looked up by the ids they have there."""

    row_of: Tensor

    def __init__(self, table: nn.Embedding, ids: NDArray[np.integer]) -> None:
        super().__init__()
        reached = torch.from_numpy(np.unique(ids).astype(np.int64))
        row_of = torch.full((table.num_embeddings,), -1, dtype=torch.int64)
        row_of[reached] = torch.arange(len(reached))
        self.weight = nn.Parameter(table.weight.detach()[reached].clone())
        self.register_buffer("row_of", row_of, persistent=False)
        padding = table.padding_idx
        self._padding = int(row_of[padding]) if padding is not None and row_of[padding] >= 0 else None

    def forward(self, input_ids: Tensor) -> Tensor:
        """(...) ids -> (..., width). Raises IndexError (a device-side assertion on a GPU) for an id
        that was not named."""
        return functional.embedding(self.row_of[input_ids], self.weight, padding_idx=self._padding)


def with_whole_table(
    weights: Mapping[str, Tensor], reached: PreTrainedModel, whole: PreTrainedModel
) -> dict[str, Tensor]:
    """`weights` of a module around `reached`, whose table `keep_reached` cut down, as those of one around `whole`, the
    same model with its table complete: what was not reached stays as it is there."""
    table, rows = whole.get_input_embeddings(), reached.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    assert isinstance(rows, ReachedEmbedding)
    (name,) = (name for name, module in whole.named_modules() if module is table)
    key = next(key for key in weights if key.endswith(f"{name}.weight"))
    filled = table.weight.detach().clone()
    filled[rows.row_of >= 0] = weights[key].to(filled.device)
    return {**weights, key: filled}


def keep_reached(model: PreTrainedModel, ids: NDArray[np.integer]) -> None:
    """Replace `model`'s table of token embeddings, in place, by its rows `ids`."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    model.set_input_embeddings(ReachedEmbedding(table, ids))
