"""Why a source could not serve an asset, in words for the user."""

from __future__ import annotations


def first_cause(error: BaseException) -> str:
    """The first line of the error that started it: libraries wrap what their readers say."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


class UnavailableError(Exception):
    """One source cannot serve what is asked; the message says why, in one line. Collected over all sources before
    the user is told."""
