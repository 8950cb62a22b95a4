"""The pieces of a tokenizer, read from its files without loading it: whether they are complete, and the highest id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
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
        if name.endswith(".json") and not isinstance(_json(folder / name), dict):
            raise InputError(f"{folder / name}: damaged: it holds no mapping")
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
