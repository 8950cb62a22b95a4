"""Rows of words: one text a row, in which words stand apart, and the tokens that stand for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from harness.errors import InputError

NO_BREAK = "\u00a0"


def text_of(words: Sequence[str]) -> str:
    """The words with one space between; space inside a word becomes a no-break space."""
    text = " ".join(words)
    is_plain = text.split() == list(words)
    return text if is_plain else " ".join(NO_BREAK.join(word.split()) for word in words)


def require_words(rows: Sequence[Any], tags: Sequence[Any], name: str, columns: tuple[str, str]) -> None:
    """InputError, with file and row, where a row has no words, a word no text, or another number of tags than words.

    `rows`, `tags`: the two columns of one file called `name`; `columns`: what they are called there."""
    for row, (words, own) in enumerate(zip(rows, tags, strict=True)):
        where = f"{name}, row {row}"
        for column, values in zip(columns, (words, own), strict=True):
            if not isinstance(values, list):
                raise InputError(f"{where}: column {column!r} holds no list: {values!r}")
        if not words:
            raise InputError(f"{where}: an empty sentence; leave rows without words out")
        for place, word in enumerate(words):
            if not isinstance(word, str) or not word.strip():
                raise InputError(
                    f"{where}: word {place} of column {columns[0]!r} is {word!r}, which is no text"
                )
        for place, tag in enumerate(own):
            if isinstance(tag, (list, dict)):
                raise InputError(
                    f"{where}: tag {place} of column {columns[1]!r} is {tag!r}, which is no label"
                )
        if len(words) != len(own):
            raise InputError(f"{where}: {len(own)} tags for {len(words)} words; each word has one tag")


def first_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """For each word of `text_of`, the place of the first token that holds a character of it; -1 where none does.

    `offsets`: begin and end of each token's characters in `text`; nothing of a special token."""
    words = text.split(" ")
    starts = [0, *accumulate(len(word) + 1 for word in words[:-1])]
    found = [-1] * len(words)
    for place, (begin, end) in enumerate(offsets):
        word = bisect_right(starts, end - 1) - 1
        is_space = end - 1 >= starts[word] + len(words[word])
        if end > begin and not is_space and found[word] < 0:
            found[word] = place
    return found
