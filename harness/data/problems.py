"""Why one source could not serve an asset: collected over all sources before the user is told."""

from __future__ import annotations


class UnavailableError(Exception):
    """One source cannot serve what is asked; the message says why, in one line."""
