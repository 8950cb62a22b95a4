"""Actions of this process while it reads hostile content: files written, programs started, pickles opened.

Python's audit events are recorded (they cover Python code), and the folders beside the permitted one are listed before
and after (which shows writes by native code too).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

_STARTS = frozenset({
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen",
    "pickle.find_class", "socket.connect", "socket.bind",
})  # fmt: skip
"""Audit events of starting a program or unpickling."""
_WRITES = frozenset({
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.truncate",
    "shutil.move", "shutil.rmtree",
})  # fmt: skip
"""Audit events whose arguments are paths that are changed."""
_LINKS = ("os.symlink", "os.link")
"""Audit events that write to their second path."""
_NULL = os.devnull


class Watch:
    """Records forbidden actions of this process while it is armed. There is one instance: audit
    hooks cannot be removed."""

    def __init__(self) -> None:
        self._roots: tuple[str, ...] = ()
        self._hostile = ""
        self._seen: list[str] | None = None
        self._hooked = False

    @contextmanager
    def over(self, hostile: Path, *permitted: Path) -> Iterator[list[str]]:
        """Context in which forbidden actions are added to the list: writing outside `permitted` and temporary files,
        starting programs, unpickling, running code that lies below `hostile`."""
        if not self._hooked:
            sys.addaudithook(self._on_event)
            self._hooked = True
        scratch = hostile / "scratch"
        scratch.mkdir(exist_ok=True)
        self._roots = tuple(f"{path.resolve()}{os.sep}" for path in (*permitted, scratch))
        self._hostile = f"{hostile.resolve()}{os.sep}"
        seen: list[str] = []
        self._seen = seen
        before = _listing(hostile.parent)
        try:
            with patch.object(tempfile, "tempdir", str(scratch)):
                yield seen
        finally:
            self._seen = None
            inside = tuple(str(path.resolve()) for path in permitted)
            seen += [
                f"{path} was changed"
                for path in _listing(hostile.parent) ^ before
                if not path.startswith(inside)
            ]

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        seen = self._seen
        if seen is None:
            return
        if event in _STARTS:
            seen.append(f"{event} {arguments!r:.200}")
        elif event == "exec":
            name = str(getattr(arguments[0], "co_filename", ""))
            if name.startswith(self._hostile):
                seen.append(f"code of {name} was run")
        elif event == "open" and _writes(arguments):
            self._note(seen, event, arguments[:1])
        elif event in _WRITES:
            self._note(seen, event, arguments[1:] if event in _LINKS else arguments)

    def _note(self, seen: list[str], event: str, arguments: tuple[Any, ...]) -> None:
        in_an_open_folder = any(isinstance(given, int) and given >= 0 for given in arguments)
        for given in arguments:
            if not isinstance(given, (str, bytes, os.PathLike)):
                continue
            name = os.fsdecode(given)
            if in_an_open_folder and not os.path.isabs(name):
                continue  # `shutil.rmtree` below a folder that was noted when it was opened
            path = os.path.abspath(name)
            if path != _NULL and not f"{path}{os.sep}".startswith(self._roots):
                seen.append(f"{event} {path}")


WATCH = Watch()
"""The one watch of this process."""


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    if isinstance(path, int):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _listing(folder: Path) -> set[str]:
    return {str(path.resolve()) for path in folder.iterdir()}
