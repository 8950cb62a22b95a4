"""Compute of a last layer what a classifier reads of it.

transformers' classification heads read the first token's last state and no other. For that state the last layer needs
the keys and values of all tokens, but query, attention, output map and feed-forward of the first alone: ten twelfths
of its products are for states that nobody reads, whose gradients are zero. Without them every output and every
gradient is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import eager_attention_forward

from harness.families import EncoderFamily, family_of


def compute_first_token_only(model: PreTrainedModel) -> None:
    """From now on the last layer of this classifier (n, tokens) returns the states of first tokens, (n, 1, width).

    Changes nothing in a family whose head reads more than the first token."""
    family = family_of(model)
    if not family.classifies_first_token:
        return
    last: nn.Module = family.layers(model)[-1]
    last.forward = partial(_first_state, last, family)


def _first_state(
    layer: nn.Module,
    family: EncoderFamily,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    *_: object,
    **__: object,
) -> Tensor:
    """(n, tokens, width) states below and their mask, (n, 1, tokens or 1, tokens) -> (n, 1, width)."""
    attention = family.attention(layer)
    maps = family.projections(layer)
    first = hidden_states[:, :1]

    def by_head(states: Tensor) -> Tensor:
        """(n, heads, tokens, head size)"""
        return states.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)

    attend: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    mixed, _weights = attend(
        attention,
        by_head(maps.query(first)),
        by_head(maps.key(hidden_states)),
        by_head(maps.value(hidden_states)),
        None if attention_mask is None else attention_mask[:, :, :1],
        dropout=attention.dropout.p if attention.training else 0.0,
        scaling=attention.scaling,
    )
    return family.after_attention(layer, torch.flatten(mixed, start_dim=2), first)
