"""Extraction of files from untrusted archives: no file leaves its folder or exceeds the size limits,
and no code runs."""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from harness.assets.problems import UnavailableError

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits on the content of an archive."""

    member: int = 1024 * MEBIBYTE
    """Bytes of one file."""
    total: int = 4096 * MEBIBYTE
    """Bytes of all files taken."""
    members: int = 100_000
    """Entries listed, taken or not."""


LIMITS = Limits()


@dataclass(frozen=True)
class _Member:
    """One regular file of an open archive."""

    name: str
    stream: IO[bytes]


def matching(names: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """Names that any glob pattern matches, sorted; `*` crosses folders, as in the hub's own patterns. A pattern that
    equals a file name matches that file even where as a glob it would not (`part[1].txt`)."""
    names = tuple(names)
    matches: set[str] = set()
    for pattern in patterns:
        literal = pattern in names and not fnmatchcase(pattern, pattern)
        matches |= {pattern} if literal else {name for name in names if fnmatchcase(name, pattern)}
    return tuple(sorted(matches))


def extract(
    archive: Path,
    into: Path,
    include: tuple[str, ...],
    *,
    root: str = "",
    strip: int = 0,
    nested: str | None = None,
    limits: Limits = LIMITS,
) -> tuple[str, ...]:
    """Write the files of a zip or tar archive that `include` matches below `into`; returns their names.

    `strip` leading folders are dropped first; names are then relative to `root`. With `nested`, the files are those of
    that archive inside the archive. Raises UnavailableError if a path leaves the folder, a selected entry is a link or
    listed twice, or a limit is exceeded.
    """
    if nested is not None:
        with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
            inner = Path(scratch)
            if not extract(archive, inner, (nested,), root=root, strip=strip, limits=limits):
                raise UnavailableError(f"{archive.name} holds no {nested}")
            return extract(inner / nested, into, include, limits=limits)
    extracted: list[str] = []
    total = 0
    with _members(archive, limits, _Selection(include, root, strip)) as members:
        for member in members:
            target = into / member.name
            if member.name in extracted:
                raise UnavailableError(f"{archive.name} lists {member.name} twice")
            target.parent.mkdir(parents=True, exist_ok=True)
            total += _copy(member, target, min(limits.member, limits.total - total))
            extracted.append(member.name)
    return tuple(sorted(extracted))


@dataclass(frozen=True)
class _Selection:
    """The entries to extract, and their names."""

    include: tuple[str, ...]
    root: str
    strip: int

    def name_of(self, entry: str) -> str | None:
        """Name relative to the root; None for an entry that is not selected. Rejects paths that lead outside."""
        path = PurePosixPath(entry.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise UnavailableError(f"the archive's entry {entry!r} leaves its folder")
        inside = PurePosixPath(*path.parts[self.strip :])
        if self.root:
            if not inside.is_relative_to(self.root):
                return None
            inside = inside.relative_to(self.root)
        name = str(inside)
        return name if name != "." and matching([name], self.include) else None


@contextmanager
def _members(archive: Path, limits: Limits, selection: _Selection) -> Iterator[Iterator[_Member]]:
    """The selected regular files of a zip or tar archive, one after another."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield _zip_members(zipped, limits, selection)
        else:
            with tarfile.open(archive, "r:*") as tarred:
                yield _tar_members(tarred, limits, selection)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnavailableError(f"{archive.name} cannot be read: {error}") from error


def _zip_members(zipped: zipfile.ZipFile, limits: Limits, selection: _Selection) -> Iterator[_Member]:
    entries = zipped.infolist()
    if len(entries) > limits.members:
        raise UnavailableError(f"the archive lists more than {limits.members:,} entries")
    for entry in entries:
        name = selection.name_of(entry.filename)
        if name is None or entry.is_dir():
            continue
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise UnavailableError(f"the archive's entry {entry.filename!r} is a link")
        with zipped.open(entry) as stream:
            yield _Member(name, stream)


def _tar_members(tarred: tarfile.TarFile, limits: Limits, selection: _Selection) -> Iterator[_Member]:
    for count, entry in enumerate(tarred, start=1):
        if count > limits.members:
            raise UnavailableError(f"the archive lists more than {limits.members:,} entries")
        name = selection.name_of(entry.name)
        if name is None or entry.isdir():
            continue
        stream = tarred.extractfile(entry) if entry.isreg() else None
        if stream is None:
            raise UnavailableError(f"the archive's entry {entry.name!r} is a link or a device, not a file")
        with stream:
            yield _Member(name, stream)


def _copy(member: _Member, target: Path, limit: int) -> int:
    """Copy at most `limit` bytes, counted while copying: the size that an archive declares is not trusted."""
    written = 0
    with target.open("wb") as out:
        while chunk := member.stream.read(MEBIBYTE):
            written += len(chunk)
            if written > limit:
                raise UnavailableError(
                    f"the archive's entry {member.name!r} passes the limit of {limit:,} bytes"
                )
            out.write(chunk)
    return written
