"""Why a source could not serve an asset, in words for the user."""

from __future__ import annotations


def first_cause(error: BaseException) -> str:
    """First line of the root cause: libraries wrap the errors of their readers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


class UnavailableError(Exception):
    """One source cannot serve the files; the message says why, in one line. Collected over all sources before
    the user sees it."""
