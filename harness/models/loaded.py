"""A model with its tokenizer, as loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers import logging as transformers_logging
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.errors import InputError
from harness.shapes import Shape

_ROLES = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")


BERT_SPECIALS = dict(zip(_ROLES, ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"), strict=True))


ROBERTA_SPECIALS = dict(zip(_ROLES, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), strict=True))


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer."""

    model: PreTrainedModel
    """`...ForMaskedLM`, float32, on CPU. Its head is trained only where `shape.mlm_head`."""
    tokenizer: PreTrainedTokenizerBase
    shape: Shape
    sha256: str
    """Of the weights: of model.safetensors, or over the shards in order, or of the packed file."""
    missing_keys: tuple[str, ...] = ()
    """Parameters that the checkpoint does not hold; they start from `HEAD_SEED`."""
    pooler: dict[str, Tensor] = field(default_factory=dict)
    """`dense.weight` and `dense.bias` of a shipped BERT pooler, which `...ForMaskedLM` has no place for."""


def load_tokenizer(folder: Path, vocabulary: int) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, which may hold nothing but tokenizer.json.

    Raises InputError where there is none, or where it has more pieces than the model's `vocabulary` rows."""
    try:
        with quiet_transformers():
            tokenizer = _read_tokenizer(folder)
    except Exception as error:  # what transformers raises differs from tokenizer to tokenizer
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: no tokenizer that transformers can read ({reason})") from error
    if len(tokenizer) > vocabulary:
        raise InputError(
            f"{folder}: its tokenizer has {len(tokenizer)} pieces, the word embedding {vocabulary} rows"
        )
    return tokenizer


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    alone = folder / "tokenizer.json"
    if alone.is_file() and not any(
        (folder / name).is_file() for name in ("tokenizer_config.json", "config.json")
    ):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(alone))
        known = set(tokenizer.get_vocab())
        for specials in (BERT_SPECIALS, ROBERTA_SPECIALS):
            if known.issuperset(specials.values()):
                tokenizer.add_special_tokens(dict(specials))
                return tokenizer
        raise ValueError("tokenizer.json has neither BERT's nor RoBERTa's special tokens")
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return loaded


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """While open, transformers prints neither progress bars nor load reports: what they say is checked here
    instead."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
