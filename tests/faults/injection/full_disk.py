"""Runs a small plan on a file system that fills up at a different point each time (needs root: it mounts a tmpfs).

Costs at least two runs of a small plan per fault, and one undisturbed run.

The run ends with 1 or 2 and says that the disk is full, without a traceback; nothing that can be read on the disk is
wrong; once there is room, a further run ends with every trial `ok`, its weights and scores those of an
undisturbed run to the last bit, and `harness verify` finds nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.results.verify import verify
from tests.faults.injection.aftermath import Moment, Reference, check, undisturbed
from tests.faults.injection.tiny import harness_run
from tests.faults.injection.verdict import CannotTryError, Verdict, command

ROOM = 512 * 2**20
"""Size of the file system in bytes after it was enlarged."""
TRIES = 5
"""Attempts with ever smaller disks until the plan no longer fits."""
TELLING = ("disk_full", "No space left", "disk is full")
"""Messages of a full disk; one of them must appear."""


def prove(folder: Path, count: int, seed: int, options: Sequence[str] = (), **changes: Any) -> Verdict:
    """Fill `count` disks under a plan with these `options` and `changes` (as of `undisturbed`)."""
    verdict = Verdict("full disk")
    draw = random.Random(seed)
    reference = undisturbed(folder, options, **changes)
    needed = _bytes_below(folder / "undisturbed")
    done: list[int] = []
    for number in range(count):
        with small_disk(folder / f"disk-{number}") as disk:
            done.append(_fill(verdict, disk, reference, needed, draw))
    verdict.figures = (
        f"{count} disks of less than {needed / 2**20:.1f} MiB filled up, "
        f"{min(done)} to {max(done)} of {len(reference.answers)} trials done by then"
    )
    return verdict


def _fill(verdict: Verdict, disk: Path, reference: Reference, needed: int, draw: random.Random) -> int:
    """Run on a disk that is too small, then on the same disk enlarged; returns the trials that
    the first run finished."""
    size = 0
    for attempt in range(TRIES):
        runs = disk / f"runs-{attempt}"
        size = draw.randrange(64 * 2**10, int(0.9 * needed / (attempt + 1)))
        resize(disk, size)
        run = harness_run(reference.spec, runs, reference.options)
        code = run.wait()
        if code != 0:
            break
        subprocess.run(["rm", "-rf", str(runs)], check=True)
    where = f"{disk.name} of {size} bytes"
    verdict.claim(code in (1, 2), f"{where}: ended with {code}: {run.said[-500:]}")
    verdict.claim(any(text in run.said for text in TELLING), f"{where}: does not say why: {run.said[-500:]}")
    for unwanted in ("Traceback", "a bug in the harness"):
        verdict.claim(unwanted not in run.said, f"{where}: {unwanted}: {run.said[-500:]}")
    wrong = [str(finding) for finding in verify(runs)]
    verdict.claim(not wrong, f"{where}: what is on the full disk is wrong: {wrong[:3]}")
    moment = Moment.of(runs)
    resize(disk, ROOM)
    again = harness_run(reference.spec, runs, reference.options)
    verdict.claim(again.wait() == 0, f"{where}: the further run failed: {again.said[-500:]}")
    check(verdict, runs, reference, moment)
    return len(moment.done)


@contextmanager
def small_disk(where: Path) -> Iterator[Path]:
    """A new file system of 64 KiB at `where`. Raises CannotTryError."""
    if os.geteuid() != 0:
        raise CannotTryError("mounting a tmpfs takes root")
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "harness-faults", str(where)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        raise CannotTryError(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def resize(disk: Path, size: int) -> None:
    """Resize the file system at `disk` to `size` bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    command(prove, count=10)
