"""Trim a teacher's vocabulary to the pieces that a corpus uses: a new, smaller teacher with its own tokenizer.

WordPiece takes the longest piece that fits and Unigram the most probable segmentation; both choose the same pieces
when pieces they did not choose are gone. BPE joins pairs in the order of its merges; every pair that makes a kept piece
stays with its parts, so that what was joined before is joined again, in the same order. So text that was tokenised into
kept pieces tokenises as before, and each kept piece has the vector it had."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.errors import InputError
from harness.families import family_of
from harness.models.loaded import LoadedModel
from harness.models.random_encoder import build_encoder

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""A byte of a character that has no piece."""
CONTINUATIONS = ("##", "▁")
"""Prefixes of WordPiece and Unigram pieces that are no character of the text."""


def trim_vocabulary(loaded: LoadedModel, token_ids: Iterable[int]) -> LoadedModel:
    """`loaded` with only the pieces in `token_ids`, its special tokens and every piece of a single character.

    The characters keep words that the corpus lacks from turning into the unknown token. Pieces keep their order, so
    the result is a function of the two arguments. Raises InputError for other tokenizers than WordPiece, Unigram and BPE,
    and for ids that are no pieces."""
    spec: dict[str, Any] = json.loads(_backend(loaded.tokenizer).to_str())
    old_ids = _kept(spec, set(token_ids), loaded.tokenizer)
    new_ids = {old: new for new, old in enumerate(old_ids)}
    tokenizer = _trimmed_tokenizer(loaded.tokenizer, spec, new_ids)
    model = _trimmed_model(loaded.model, new_ids)
    identity = hashlib.sha256(json.dumps([loaded.sha256, old_ids]).encode()).hexdigest()
    return replace(
        loaded,
        model=model.eval(),
        tokenizer=tokenizer,
        shape=replace(loaded.shape, vocabulary=len(old_ids)),
        sha256=identity,
    )


def _backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"trim_vocabulary: a {type(tokenizer).__name__} has no tokenizer.json to trim")
    tokenizers_own: Tokenizer = backend
    return tokenizers_own


def _pieces(spec: dict[str, Any]) -> dict[str, int]:
    """Piece -> old id, of the model inside a tokenizer.json."""
    model = spec["model"]
    affixed = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model["type"] == "WordPiece" or (model["type"] == "BPE" and not affixed):
        return dict(model["vocab"])
    if model["type"] == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    raise InputError(
        f"trim_vocabulary: {model['type']} tokenizers{' that mark words in their pieces' if affixed else ''} cannot be "
        "trimmed; WordPiece, Unigram and byte-level BPE can"
    )


def _kept(spec: dict[str, Any], wanted: set[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Old ids that stay, ascending."""
    pieces = _pieces(spec)
    known = {*pieces.values(), *(token["id"] for token in spec["added_tokens"])}
    strange = sorted(wanted - known)
    if strange:
        raise InputError(f"trim_vocabulary: {strange[0]} is not the id of a piece ({len(known)} pieces)")
    single = {
        number for piece, number in pieces.items() if len(_characters(piece)) <= 1 or _BYTE.fullmatch(piece)
    }
    special = {*tokenizer.all_special_ids, *(token["id"] for token in spec["added_tokens"])}
    return sorted(_with_parts(wanted | single | special, spec["model"], pieces))


def _with_parts(kept: set[int], model: dict[str, Any], pieces: dict[str, int]) -> set[int]:
    """Also the pieces that kept ones are merged from, and theirs; of a tokenizer without merges just the kept ones."""
    parts: dict[int, set[int]] = {}
    for left, right in _merges(model):
        parts.setdefault(pieces[left + right], set()).update((pieces[left], pieces[right]))
    found, left_over = set(kept), list(kept)
    while left_over:
        new = parts.get(left_over.pop(), set()) - found
        found |= new
        left_over.extend(new)
    return found


def _merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a BPE model in their order, which files of different ages write as lists or as one text."""
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model.get("merges", ())]
    return [(left, right) for left, right in pairs]


def _characters(piece: str) -> str:
    for prefix in CONTINUATIONS:
        piece = piece.removeprefix(prefix)
    return piece


def _trimmed_tokenizer(
    tokenizer: PreTrainedTokenizerBase, spec: dict[str, Any], new_ids: dict[int, int]
) -> PreTrainedTokenizerBase:
    spec = copy.deepcopy(spec)
    model = spec["model"]
    if model["type"] != "Unigram":
        model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}
    else:
        model["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in new_ids]
        model["unk_id"] = new_ids[model["unk_id"]]
    if model["type"] == "BPE":
        model["merges"] = [
            [left, right]
            for left, right in _merges(model)
            if {left, right, left + right} <= model["vocab"].keys()
        ]
    for token in spec["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(spec["post_processor"], new_ids)
    trimmed = copy.deepcopy(tokenizer)
    trimmed._tokenizer = Tokenizer.from_str(json.dumps(spec))
    return trimmed


def _renumber(processor: Any, new_ids: dict[int, int]) -> None:
    """Put new ids where a post-processor names special tokens."""
    for part in (processor or {}).get("processors", [processor] if processor else []):
        for token in part.get("special_tokens", {}).values() if part["type"] == "TemplateProcessing" else ():
            token["ids"] = [new_ids[old] for old in token["ids"]]
        for role in ("sep", "cls") if part["type"] in ("BertProcessing", "RobertaProcessing") else ():
            token, old = part[role]
            part[role] = [token, new_ids[old]]


def _trimmed_model(model: PreTrainedModel, new_ids: dict[int, int]) -> PreTrainedModel:
    config = copy.deepcopy(model.config)
    config.vocab_size = len(new_ids)
    for role in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
        old = getattr(model.config, role, None)
        if hasattr(model.config, role):
            setattr(config, role, None if old is None else new_ids.get(old))
    if family_of(config).positions_follow_padding and config.pad_token_id != model.config.pad_token_id:
        raise InputError(
            "trim_vocabulary: this model counts positions from the padding id, which trimming would change; leave it out"
        )
    trimmed = build_encoder(config, seed=0)
    rows = torch.tensor(list(new_ids))
    shapes = {name: value.shape for name, value in trimmed.state_dict().items()}
    trimmed.load_state_dict(
        {
            name: value if value.shape == shapes[name] else value[rows]
            for name, value in model.state_dict().items()
        }
    )
    return trimmed
