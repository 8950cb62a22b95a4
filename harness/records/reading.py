"""Versions of the code that stands between files and what a trial reads of them.

The same version keys the cache of what is derived and enters the ids of the trials that read it, so that changed code
neither meets old text in the cache nor gives other text under an old id.
"""

from __future__ import annotations

VERSIONS = {"cleaning": 2, "packing": 1, "rows": 1, "encoding": 1}
"""Raised when a change of code changes: which sentences of a corpus are kept, where sentences end or which count as the
same; how they fill token blocks; which rows of a task are read, or how; the tokens of a row."""
_UNNAMED = {"cleaning": 2, "packing": 1, "rows": 1, "encoding": 1}
"""Those of the first ids, which name none."""

OF_CORPUS = ("cleaning", "packing")
OF_TASK = ("rows", "encoding")


def raised(*names: str) -> dict[str, str]:
    """`code/<name>` -> version, of those raised since the first ids: part of a trial's `data`."""
    return {f"code/{name}": str(VERSIONS[name]) for name in names if VERSIONS[name] != _UNNAMED[name]}
