"""How pages name rows, families and groups."""

from __future__ import annotations

from harness.ranking.render.row_names import row_labels as row_labels
from harness.ranking.render.web.html_text import FAMILY_TOOLTIPS as FAMILY_TOOLTIPS
from harness.ranking.render.web.html_text import with_tooltips as with_tooltips


def group_letters(groups: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    """Row -> letters of the groups it is in: rows that share a letter cannot be told apart."""
    letters: dict[str, list[str]] = {}
    for index, group in enumerate(groups):
        for row in group:
            letters.setdefault(row, []).append(_letter(index))
    return {
        row: "".join(letters_of) if len(groups) <= 26 else " ".join(letters_of)
        for row, letters_of in letters.items()
    }


def _letter(index: int) -> str:
    """a, b, … z, aa, ab, …"""
    rest, place = divmod(index, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("a") + place)
