"""Floating-point operations of matrix products in an encoder, counted by formula. Imports no torch.

A product (m × k) · (k × n) counts 2·m·k·n. For s sequences of n tokens, width d, feed-forward width f, one layer costs

    s · [ 2·n·(4·d² + 2·d·f)  +  4·n²·d ]

(query, key, value and output maps; two feed-forward maps, or three, 3·d·f, where they are gated; scores Q·Kᵀ and
probabilities · V, over all heads together),
and its backward pass twice that. A masked-LM head on p positions, over a vocabulary of v words, costs p · 2·(d² + d·v).
Look-ups, LayerNorm, softmax, activations and biases are not counted, nor are the losses between hidden states or
relations and the optimiser. Padding is counted, since it is computed; so are scores outside a sliding layer's window.
"""

from __future__ import annotations

from harness.families import FAMILIES
from harness.shapes import Shape

BACKWARD = 2
"""A backward pass multiplies twice as much as its forward pass: once for the inputs, once for the weights."""


def layer_flops(shape: Shape, sequences: int, tokens: int) -> int:
    """Forward pass of one Transformer layer on `sequences` sequences of `tokens` tokens."""
    maps = tokens * projection_flops(shape, 4)
    return sequences * (maps + _feed_forward(shape, tokens) + _attention(shape, tokens))


def projection_flops(shape: Shape, maps: int) -> int:
    """`maps` square maps of the model's width on one token: three make query, key and value."""
    return 2 * maps * shape.width**2


def forward_flops(shape: Shape, sequences: int, tokens: int, layers: int | None = None) -> int:
    """Forward pass of the encoder without a head: all layers, or the first `layers`."""
    return (shape.layers if layers is None else layers) * layer_flops(shape, sequences, tokens)


def head_flops(shape: Shape, positions: int) -> int:
    """Forward pass of the masked-LM head on `positions` tokens: its dense map and the decoder matrix."""
    return positions * (projection_flops(shape, 1) + 2 * shape.width * shape.vocabulary)


def classifier_flops(shape: Shape, sequences: int, tokens: int) -> int:
    """Forward pass of the encoder as far as the first token's last state needs it: in the last layer, keys and values
    of all tokens and everything else for the first token only."""
    last = tokens * projection_flops(shape, 2) + projection_flops(shape, 2)
    last += _feed_forward(shape, 1) + _attention(shape, tokens) // tokens
    return forward_flops(shape, sequences, tokens, shape.layers - 1) + sequences * last


def training_flops(shape: Shape, sequences: int, tokens: int, positions: int = 0) -> int:
    """Forward and backward of the encoder and of the masked-LM head on `positions` tokens: three times the forward pass."""
    return (1 + BACKWARD) * (forward_flops(shape, sequences, tokens) + head_flops(shape, positions))


def read_flops(shape: Shape, sequences: int, tokens: int, *, layers: int, maps: int, positions: int) -> int:
    """A forward pass as far as a model is read: `layers` layers, `maps` of the query, key and value maps
    of the layer after them, the masked-LM head on `positions` tokens."""
    return (
        forward_flops(shape, sequences, tokens, layers)
        + sequences * tokens * projection_flops(shape, maps)
        + head_flops(shape, positions)
    )


def _feed_forward(shape: Shape, tokens: int) -> int:
    maps = 3 if FAMILIES[shape.model_type].gated else 2
    return 2 * maps * tokens * shape.width * shape.ffn


def _attention(shape: Shape, tokens: int) -> int:
    return 4 * tokens**2 * shape.width
