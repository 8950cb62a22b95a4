"""Counts in sentences: `1 seed`, `3 seeds`, `1,234 trials`."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """`count` with its noun; `plural`, where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
