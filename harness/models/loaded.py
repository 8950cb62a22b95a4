"""A model with its tokenizer, as loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers import logging as transformers_logging
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.errors import InputError
from harness.families import FAMILIES, family_of
from harness.intact.pieces import require_rows_for
from harness.models.principal_directions import PrincipalDirections, principal_directions
from harness.shapes import Shape


@dataclass(frozen=True)
class LoadedModel:
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

    @cached_property
    def tokenizer_sha256(self) -> str:
        """Identity of the tokenizer: SHA-256 of its whole content, 64 hex digits."""
        content: str = self.tokenizer.backend_tokenizer.to_str()
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    @cached_property
    def principal_directions(self) -> PrincipalDirections:
        """Of the word embedding as it was when they were first asked for; every row counts once."""
        words: Tensor = self.model.get_input_embeddings().get_parameter("weight")
        return principal_directions(words)

    @property
    def longest_input(self) -> int:
        """Tokens that the model has positions for."""
        return family_of(self.model).longest_input(self.model.config)

    def require_length(self, length: int) -> None:
        """Raise InputError where inputs of `length` tokens are longer than the model has positions for."""
        if length > self.longest_input:
            raise InputError(f"length {length} is longer than the model's {self.longest_input} positions")


def load_tokenizer(folder: Path, vocabulary: int) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, which may hold nothing but tokenizer.json.

    Raises InputError where there is none, or where an id has no row among the model's `vocabulary`."""
    try:
        with quiet_transformers():
            tokenizer = _read_tokenizer(folder)
    except Exception as error:  # what transformers raises differs from tokenizer to tokenizer
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: no tokenizer that transformers can read ({reason})") from error
    if not tokenizer.is_fast:
        raise InputError(
            f"{folder}: {type(tokenizer).__name__} does not say which characters a token stands for; "
            "a tokenizer with a tokenizer.json does"
        )
    require_rows_for(highest_id(tokenizer), vocabulary, folder)
    return tokenizer


def highest_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The highest id that it can give. Some leave ids out, so that it may be above the number of pieces."""
    return max(tokenizer.get_vocab().values())


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    alone = folder / "tokenizer.json"
    described = any((folder / name).is_file() for name in ("tokenizer_config.json", "config.json"))
    if alone.is_file() and not described:
        return _with_special_tokens(PreTrainedTokenizerFast(tokenizer_file=str(alone)))
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return loaded


def _with_special_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A bare tokenizer.json names no roles: they are those of the first family whose special tokens it all has."""
    pieces = set(tokenizer.get_vocab())
    for family in FAMILIES.values():
        if pieces.issuperset(family.special_tokens.values()):
            tokenizer.add_special_tokens(dict(family.special_tokens))
            return tokenizer
    raise ValueError(f"tokenizer.json has the special tokens of none of {', '.join(FAMILIES)}")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """While open, transformers prints neither progress bars nor load reports; what they say is checked here instead."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
