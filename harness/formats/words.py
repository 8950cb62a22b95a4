"""Files of tagged words: the sentences of CoNLL columns, CoNLL-U, and the Brown corpus, each with its columns as lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.errors import InputError
from harness.formats.opened import open_text

Sentence = dict[str, list[str]]
"""Column -> its value for each word."""
Line = tuple[int, str]
"""Its number, from 1, and what it holds."""

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The ten columns of CoNLL-U."""
WORDS, TAGS = "words", "tags"
"""Columns where a file names none."""

_MARKS = re.compile(r"(-(hl|tl|nc))+$")


def word_sentences(
    path: Path, format: str, header: Sequence[str] | None, encoding: str
) -> Iterator[Sentence]:
    """The sentences of a file in one of `FORMATS`, in order. InputError with the line that is not of that format."""
    with open_text(path, encoding) as lines:
        numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
        yield from FORMATS[format](path.name, numbered, header)


def _blocks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines between blank ones."""
    block: list[Line] = []
    for number, line in lines:
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _conll(name: str, lines: Iterable[Line], header: Sequence[str] | None) -> Iterator[Sentence]:
    """One word a line, fields between tabs or spaces, sentences between blank lines. `header` names the fields; without
    it the first is the word and the last its tag."""
    width = len(header) if header else 0
    for block in _blocks((n, line) for n, line in lines if not line.startswith("-DOCSTART-")):
        rows = []
        for number, line in block:
            fields = line.split("\t") if "\t" in line else line.split()
            width = width or len(fields)
            if len(fields) != width or width < 2:
                wanted = (
                    f"`header` names {width}" if header else f"the first has {width}, and 2 are the fewest"
                )
                raise InputError(f"{name}:{number}: a torn line: {len(fields)} fields, {wanted}")
            rows.append(fields)
        columns = [list(column) for column in zip(*rows, strict=True)]
        yield dict(zip(header, columns, strict=True)) if header else {WORDS: columns[0], TAGS: columns[-1]}


def _conllu(name: str, lines: Iterable[Line], header: Sequence[str] | None) -> Iterator[Sentence]:
    """Syntactic words, which are what is tagged: without comments, multiword tokens and empty nodes."""
    for block in _blocks((n, line) for n, line in lines if not line.startswith("#")):
        rows = []
        for number, line in block:
            fields = line.split("\t")
            if len(fields) != len(CONLLU):
                raise InputError(
                    f"{name}:{number}: a torn line: {len(fields)} fields, CoNLL-U has {len(CONLLU)}"
                )
            if fields[0].isdecimal():
                rows.append(fields)
        yield {column: [row[place] for row in rows] for place, column in enumerate(CONLLU)}


def _brown(name: str, lines: Iterable[Line], header: Sequence[str] | None) -> Iterator[Sentence]:
    """One sentence a line, word/tag between spaces."""
    for number, line in lines:
        pairs = [token.rpartition("/") for token in line.split()]
        for word, _, tag in pairs:
            if not word or not tag:
                raise InputError(f"{name}:{number}: {word or tag!r} is no word/tag")
        if pairs:
            yield {WORDS: [word for word, _, _ in pairs], TAGS: [base_tag(tag) for _, _, tag in pairs]}


@cache
def base_tag(tag: str) -> str:
    """A tag of the Brown corpus without what is marked besides: -hl (headline), -tl (title), -nc (cited word) and a
    negation's *; of a contraction (`pps+bez`) the first part; `fw` for every foreign word."""
    if tag.startswith("fw-"):
        return "fw"
    first = _MARKS.sub("", _MARKS.sub("", tag).partition("+")[0])
    return first.rstrip("*") or first


FORMATS: dict[str, Callable[[str, Iterable[Line], Sequence[str] | None], Iterator[Sentence]]] = {
    "conll": _conll,
    "conllu": _conllu,
    "brown": _brown,
}
"""Format -> reader of (file name, lines, column names)."""
