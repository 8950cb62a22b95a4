"""Sentences as HTML."""

from __future__ import annotations

import html
import re

FAMILY_TOOLTIPS = {
    "OD": "Output distribution: the student learns the teacher's predicted probabilities",
    "HS": "Hidden states: the student's layers learn the states of the teacher's layers",
    "MHA": "Multi-head attention: the student learns relations of the teacher's queries, keys and values",
}


def with_tooltips(sentence: str) -> str:
    """The sentence as HTML, in which OD, HS and MHA say what they are when pointed at or reached by key."""

    def explained(found: re.Match[str]) -> str:
        name = found.group()
        return f'<abbr tabindex="0" title="{html.escape(FAMILY_TOOLTIPS[name])}">{name}</abbr>'

    return re.sub(r"\b(OD|HS|MHA)\b", explained, html.escape(sentence))


def bold(sentence: str) -> str:
    """Markdown's bold as HTML; the sentence is HTML already."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", sentence)
