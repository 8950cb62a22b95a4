"""Whether a file holds its content: neither empty nor a pointer that a version control system left in its place."""

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
    """Description of the pointer in place of the file's content, and how to get that; None if the content is there."""
    with path.open("rb") as file:
        start = file.read(64)
    return next((description for first, description in _STAND_INS.items() if start.startswith(first)), None)


def refuse_stand_in(path: Path, name: str | None = None) -> None:
    """InputError if the file is a pointer instead of its content; `name` is what the message calls the file."""
    description = stand_in(path)
    if description is not None:
        raise InputError(f"{name or path}: {description}")
