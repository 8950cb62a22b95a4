"""Whether a file is the file itself: not empty, and no stand-in that a version control system left in its place."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError

_STAND_INS = {
    b"version https://git-lfs.github.com/spec/": "a git-lfs pointer; `git lfs pull` fetches its content",
    b"version https://hawser.github.com/spec/": "a git-lfs pointer; `git lfs pull` fetches its content",
    b"/annex/objects/": "a git-annex pointer; `git annex get` fetches its content",
}
"""First bytes -> what such a file is."""


def stand_in(path: Path) -> str | None:
    """What stands in the place of the file's content, and how to get that; None where the content is there."""
    with path.open("rb") as file:
        start = file.read(64)
    return next((what for first, what in _STAND_INS.items() if start.startswith(first)), None)


def refuse_stand_in(path: Path, name: str | None = None) -> None:
    """InputError where a pointer stands in the place of the content; `name` is what the message calls the file."""
    what = stand_in(path)
    if what is not None:
        raise InputError(f"{name or path}: {what}")
