"""The pieces of a tokenizer, read from its files without loading it: whether they are complete, and the highest id."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.intact.stand_ins import refuse_stand_in

_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")
_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", *_SENTENCEPIECE)
"""Files that hold pieces; the first that exists is read."""
_BESIDE = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Files that are read with it where they exist."""


def highest_piece(folder: Path) -> int | None:
    """The highest id that the tokenizer in `folder` can produce; None if it would have to be loaded to know.

    InputError if it has no files, or if one is empty, truncated or a version control system's pointer.
    """
    there = [name for name in _FILES if (folder / name).is_file()]
    if not there:
        raise InputError(f"{folder}: no tokenizer: none of {', '.join(_FILES)}")
    beside = [name for name in _BESIDE if (folder / name).is_file()]
    for name in (there[0], *beside):
        refuse_stand_in(folder / name)
        if (folder / name).stat().st_size == 0:
            raise InputError(f"{folder / name}: is empty")
    for name in beside:
        if name.endswith(".json"):
            _mapping(folder / name)
    if there[0] in _SENTENCEPIECE:
        return None
    ids = list(_ids(folder, there[0]))
    if min(ids, default=0) < 0:
        raise InputError(f"{folder / there[0]}: damaged: a piece has the id {min(ids)}; ids count from 0")
    return max(ids, default=None)


def require_rows_for(highest: int, rows: int, where: Path) -> None:
    """InputError if the word embedding has no row for the highest id; a padded embedding has more rows than needed."""
    if highest >= rows:
        raise InputError(
            f"{where}: its tokenizer's highest id is {highest}, but the word embedding has {rows} rows (0 to {rows - 1})"
        )


ROLES = ("cls", "sep", "mask")
"""What token blocks and their corruption need."""
_WITHOUT_DEFAULTS = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of transformers that give a role only to the pieces that the files name."""


def missing_roles(folder: Path) -> list[str]:
    """Why the tokenizer in `folder` cannot corrupt text: one clause for each of `ROLES` that no piece has. What its files
    leave to transformers is taken to be there. InputError as `highest_piece`."""
    named = {
        key: value
        for name in ("special_tokens_map.json", "tokenizer_config.json")
        if (folder / name).is_file()
        for key, value in _mapping(folder / name).items()
    }
    if not named:
        return []
    pieces = _names(folder) if any((folder / name).is_file() for name in _FILES[:3]) else None
    return list(filter(None, (_missing(role, named, pieces) for role in ROLES)))


def _missing(role: str, named: Mapping[str, Any], pieces: Collection[str] | None) -> str:
    default = None if named.get("tokenizer_class") in _WITHOUT_DEFAULTS else ""
    piece = named.get(f"{role}_token", default)
    piece = piece.get("content") if isinstance(piece, dict) else piece
    if piece is None:
        return f"no {role} token"
    return (
        f"no piece {piece!r}, its {role} token"
        if piece and pieces is not None and piece not in pieces
        else ""
    )


def _names(folder: Path) -> set[str]:
    """The pieces of a tokenizer.json, vocab.txt or vocab.json, with those that other files add."""
    first = next(name for name in _FILES if (folder / name).is_file())
    added: Iterable[str] = ()
    if first == "vocab.txt":
        pieces: Iterable[str] = (folder / first).read_text("utf-8").splitlines()
    elif first == "vocab.json":
        pieces = _mapping(folder / first)
    else:
        content = _mapping(folder / first)
        vocabulary = content["model"]["vocab"]
        pieces = vocabulary if isinstance(vocabulary, dict) else [piece for piece, _ in vocabulary]
        added = [token["content"] for token in content.get("added_tokens") or ()]
    beside = _mapping(folder / _BESIDE[-1]) if (folder / _BESIDE[-1]).is_file() else {}
    return {*pieces, *added, *beside}


def _mapping(path: Path) -> dict[str, Any]:
    content = _json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged: it holds no mapping")
    return content


def _ids(folder: Path, first: str) -> Iterator[int]:
    path = folder / first
    try:
        if first == "vocab.txt":
            yield len(path.read_text("utf-8").splitlines()) - 1
        else:
            yield from _ids_of_json(_json(path), first)
        added = _json(folder / "added_tokens.json") if (folder / "added_tokens.json").is_file() else {}
        yield from added.values()
        if first != "tokenizer.json" and (folder / "tokenizer_config.json").is_file():
            yield from map(int, _json(folder / "tokenizer_config.json").get("added_tokens_decoder", {}))
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no tokenizer that can be read ({error!r})") from error


def _ids_of_json(content: Any, name: str) -> Iterable[int]:
    if name == "vocab.json":
        return map(int, content.values())
    pieces = content["model"]["vocab"]
    own = map(int, pieces.values()) if isinstance(pieces, dict) else [len(pieces) - 1]
    return [*own, *(int(token["id"]) for token in content.get("added_tokens") or ())]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cut short or damaged: not JSON ({error})") from error
