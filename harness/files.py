"""Files below a folder and the SHA-256 of their content, alone and as a tree."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


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
    """SHA-256 of files, remembered below `folder`.

    A remembered hash counts while the file has the same size, modification time, *change* time and inode. Programs can
    set the modification time back, as archives and images do. The change time is the kernel's own: what goes unnoticed
    is content that changes below the file system, or under a clock that is set back.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, path: Path) -> str:
        """SHA-256 of one file."""
        before = _stamp(path)
        where = os.path.realpath(path)
        memory = self._folder / f"{text_hash(where):016x}.json"
        try:
            remembered = json.loads(memory.read_text("utf-8"))
            if remembered["stamp"] == [where, *before]:
                return str(remembered["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not seen yet, or another process is writing it: hash again
        sha256 = sha256_of(path)
        if _stamp(path) == before and _has_settled(before[2]):
            write_atomically(memory, json.dumps({"stamp": [where, *before], "sha256": sha256}))
        return sha256

    def each(self, root: Path, names: Iterable[str]) -> dict[str, str]:
        """Name -> SHA-256 of the named files below `root`."""
        return {name: self.of(root / name) for name in names}


def _has_settled(changed: int) -> bool:
    """Whether a change from now on would have another time than `changed`: clocks of file systems tick in milliseconds,
    of some in seconds."""
    tick = 20_000_000 if changed % 1_000_000_000 else 2_000_000_000
    return abs(time.time_ns() - changed) > tick


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def files_below(folder: Path) -> tuple[str, ...]:
    """Relative names of all files below a folder, hidden ones aside, sorted; links to files and folders are followed."""
    paths: list[str] = []
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(here, name)]
        paths += [os.path.join(here, name) for name in names if not name.startswith(".")]
    return tuple(sorted(Path(path).relative_to(folder).as_posix() for path in paths if os.path.isfile(path)))


def _leads_back(here: str, name: str) -> bool:
    """Whether the folder `name` is a link to one that it lies in, which would be walked for ever."""
    path = os.path.join(here, name)
    return os.path.islink(path) and Path(here).resolve().is_relative_to(os.path.realpath(path))


def expanded(path: str) -> Path:
    """A path as a user writes it: `~/` is the home folder, and a name that merely begins with `~` is a name."""
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path(path)


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


@contextmanager
def written_beside(folder: Path, *, replacing: bool = False) -> Iterator[Path]:
    """A new folder to write in, which becomes `folder` at the end of the block and is removed if the block fails: a reader
    never sees half of it. OSError where `folder` has files already, unless they may be replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield written
        written.chmod(0o755)
        (_replace if replacing else Path.rename)(written, folder)
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        raise


def _replace(written: Path, folder: Path) -> None:
    """Put `written` where `folder` is. Folders cannot be exchanged in one step: the old one is moved aside first."""
    if not folder.exists():
        written.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    folder.rename(aside / folder.name)
    written.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
