"""SHA-256 of files and of trees of files; hashes of large files are remembered by path, size and time."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def sha256_of(*paths: Path) -> str:
    """SHA-256 of a file's content, or of the contents of several in a row, 64 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def tree_hash(files: Mapping[str, str]) -> str:
    """SHA-256 over the lines that `sha256sum` prints of {relative name: SHA-256}, sorted by name."""
    lines = (f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def text_hash(*parts: str) -> int:
    """64-bit hash of text, stable over runs, machines and versions; parts are kept apart."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x1f")
    return int.from_bytes(digest.digest(), "big")


def text_fraction(*parts: str) -> float:
    """`text_hash` as a number in [0, 1)."""
    return (text_hash(*parts) >> 11) / 2**53


class FileHashes:
    """SHA-256 of files, remembered below `folder` until a file's size or modification time changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, path: Path) -> str:
        """SHA-256 of one file."""
        status = path.stat()
        where = str(path.resolve())
        stamp = [where, status.st_size, status.st_mtime_ns]
        memory = self._folder / f"{text_hash(where):016x}.json"
        try:
            remembered = json.loads(memory.read_text("utf-8"))
            if remembered["stamp"] == stamp:
                return str(remembered["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not seen yet, or another process is writing it: hash again
        sha256 = sha256_of(path)
        write_atomically(memory, json.dumps({"stamp": stamp, "sha256": sha256}))
        return sha256

    def tree(self, root: Path, names: tuple[str, ...]) -> str:
        """Tree hash of the named files below `root`."""
        return tree_hash({name: self.of(root / name) for name in names})


def write_atomically(path: Path, text: str) -> None:
    """Write `text` beside `path`, flush it to disk and rename: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
