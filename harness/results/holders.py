"""Which process holds a file: for messages about a database that cannot be opened."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LockHolder:
    """A process that has a file locked."""

    pid: int

    @property
    def command(self) -> str:
        """Its command line, as far as this user may see it; else an empty string."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return ""
        return " ".join(" ".join(word.decode(errors="replace") for word in words).split())[:120]

    @property
    def is_ours(self) -> bool:
        """Whether it is a harness or a leaderboard, which hold a database only briefly."""
        return "harness" in self.command or "streamlit" in self.command

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or 'of another user'})"


def named_in(message: str) -> LockHolder | None:
    """The process named in DuckDB's message about a lock."""
    match = re.search(r"\(PID (\d+)\)", message)
    return LockHolder(int(match[1])) if match else None


def of_lock(path: Path) -> LockHolder | None:
    """The process that holds a lock on the file, according to the system's lock table; None without such
    a table or process."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for words in map(str.split, lines):
        if (
            "->" not in words
            and words[5].rpartition(":")[2] == str(inode)
            and int(words[4]) not in (0, os.getpid())
        ):
            return LockHolder(int(words[4]))
    return None
