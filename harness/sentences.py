"""Text as sentences: how documents are split, and when two sentences count as the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_BOUNDARY = re.compile(
    r"""
    [.!?…]["'”’»)\]]*\s+(?=["'“‘«(\[]*[^\W_a-zß-ÿ])   # a capital or a digit follows
    | [。！？؟।۔]["'”’」』»)]*\s*                          # Chinese, Arabic, Hindi, Urdu full stops
    | \n+
    """,
    re.VERBOSE,
)
SHORTEST_KEY = 10
"""Characters after normalising; a shorter string ("No.", "The U.S.") is shared by chance, not leaked."""

_PUNCTUATION_OR_SPACE = re.compile(r"[\W_]+")


def sentences(document: str) -> list[str]:
    """The document cut after each sentence; joining the parts gives the document back.

    A rule for finding repeated sentences, not a linguistic one: an abbreviation may cut a sentence in two.
    """
    parts: list[str] = []
    start = 0
    for boundary in _BOUNDARY.finditer(document):
        if boundary.end() > start:
            parts.append(document[start : boundary.end()])
            start = boundary.end()
    if start < len(document):
        parts.append(document[start:])
    return parts


def normalise(sentence: str) -> str:
    """What is compared: NFKC, lower case, words parted by one space, no punctuation. Empty without words."""
    folded = unicodedata.normalize("NFKC", sentence).lower()
    if folded.isascii():
        return _PUNCTUATION_OR_SPACE.sub(" ", folded).strip()
    # Marks (Hindi and Thai vowels) are no word characters to `re`, yet they tell words apart.
    letters = (c if unicodedata.category(c)[0] in "LNM" else " " for c in folded)
    return " ".join("".join(letters).split())


def sentence_keys(texts: Iterable[str]) -> set[str]:
    """Normalised form of every text and of every sentence in it, those below SHORTEST_KEY aside."""
    keys: set[str] = set()
    for text in texts:
        keys.add(normalise(text))
        keys.update(map(normalise, sentences(text)))
    return {key for key in keys if len(key) >= SHORTEST_KEY}
