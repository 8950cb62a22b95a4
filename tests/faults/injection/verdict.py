"""The outcome of a fault injection: figures in one line, and the claims that did not hold."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn


class CannotTryError(Exception):
    """This machine does not allow the fault to be injected; the message says what it lacks."""


@dataclass
class Verdict:
    """Collects the claims that do not hold."""

    title: str
    figures: str = ""
    """What was tried, and its outcome."""
    broken: list[str] = field(default_factory=list)
    """Claims that failed, each with its place."""

    def claim(self, holds: bool, otherwise: str) -> None:
        """Record `otherwise` unless the claim holds."""
        if not holds:
            self.broken.append(otherwise)

    def __str__(self) -> str:
        ending = f"{len(self.broken)} CLAIMS FAILED" if self.broken else "every claim held"
        return f"{self.title}: {self.figures}; {ending}"


Proof = Callable[[Path, int, int], Verdict]
"""(empty folder to work in, count, seed) -> verdict. Raises CannotTryError."""


def command(proof: Proof, count: int) -> NoReturn:
    """Run a proof as a command; `count` is its default number of faults."""
    module = sys.modules[proof.__module__]
    prog = f"python -m tests.faults.injection.{Path(str(module.__file__)).stem}"
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        epilog=f"Example: {prog} --count 2 --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=count, help=f"number of faults (default: {count})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random faults (default: 0)")
    parser.add_argument(
        "--keep", type=Path, help="work in this new folder and keep it (default: a temporary folder)"
    )
    given = parser.parse_args()
    try:
        if given.keep is not None:
            given.keep.mkdir(parents=True)
            verdict = proof(given.keep.resolve(), given.count, given.seed)
        else:
            with tempfile.TemporaryDirectory(prefix="faults-") as folder:
                verdict = proof(Path(folder), given.count, given.seed)
    except CannotTryError as error:
        sys.exit(f"cannot be tried here: {error}")
    for line in verdict.broken:
        print(f"  FAILED {line}", file=sys.stderr)
    print(verdict, flush=True)
    sys.exit(1 if verdict.broken else 0)
