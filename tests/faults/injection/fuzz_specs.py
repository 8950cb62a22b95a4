"""Damages shipped specs and catalog files at random and gives them to `harness validate`; those that are still valid and
small also to `harness plan`.

Costs at most two seconds of processor time per file, and a second more for every 5,000 trials that `validate` counts; a
file that takes longer is a failure.

Whatever they hold, the command ends with 0 or 2, without a traceback, within that time, starts nothing and writes
nothing. One in a hundred is also given to a command line of its own, which must end the same way.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from harness.cli import main
from harness.spec.catalog import shipped_specs
from harness.spec.yaml.source import read
from tests.faults.injection.mutations import damage_bytes, damage_data
from tests.faults.injection.verdict import Verdict, command
from tests.faults.injection.watch import WATCH

LIMIT_SECONDS = 2.0
"""Processor time allowed per file, beside counting its trials."""
TRIALS_A_SECOND = 5_000
"""Trials that `validate` counts in a second of processor time at the least."""
MOST_TRIALS = 100_000
"""`max_trials` where a spec does not say otherwise: no larger plan is counted."""
SAMPLE = 100
"""One file in so many also goes through a process of its own."""
SMALL = 2_000
"""Largest number of trials of a plan that is also made; larger ones may take longer."""


class HangError(BaseException):
    """The time limit is exceeded. A BaseException, so that no handler on the way catches it."""


@dataclass(frozen=True)
class Seed:
    """A shipped file."""

    kind: str
    """Its folder: specs, methods, ..."""
    content: bytes
    data: Any


@dataclass(frozen=True)
class Ending:
    """Outcome of a command."""

    code: int | None
    """Exit code; None if it did not end."""
    said: str


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Damage `count` files."""
    verdict = Verdict("fuzzed specs")
    draw = random.Random(seed)
    codes: Counter[int | None] = Counter()
    sampled = 0
    seeds = _seeds()
    with _on_an_island(folder / "home"):
        _ending(
            ["plan", str(shipped_specs() / "quickstart.yaml")]
        )  # modules load once, and not on a file's time
        for number in range(count):
            path = _write(folder / "fuzzed", number, draw.choice(seeds), draw.choice(seeds), draw)
            with WATCH.over(folder / "fuzzed", folder / "home") as seen:
                ending = _ending(["validate", str(path)])
                if _is_small_plan(ending):
                    planned = _ending(["plan", str(path)])
                    ending = ending if planned.code in (0, 2) else planned
            codes[ending.code] += 1
            _judge(verdict, path, ending, seen)
            if number % SAMPLE == 0:
                sampled += 1
                verdict.claim(_code_of_a_process(path) == ending.code, f"{path}: a process ends otherwise")
            if not verdict.broken or str(path) not in verdict.broken[-1]:
                path.unlink()
    codes_in_words = ", ".join(
        f"{number} ended with {code}" for code, number in sorted(codes.items(), key=str)
    )
    verdict.figures = (
        f"{count} files damaged, {codes_in_words}, {sampled} of them in a process of their own too"
    )
    return verdict


def _seeds() -> list[Seed]:
    """Every shipped YAML file; specs as often as all others together, as they are the largest surface."""
    shipped = shipped_specs()
    found = []
    for path in sorted(shipped.rglob("*.yaml")):
        top = path.relative_to(shipped).parts[0]
        kind = "specs" if top in (path.name, "paper") else top
        found.append(Seed(kind, path.read_bytes(), read(path).data))
    specs = [one for one in found if one.kind == "specs"]
    return found + specs * (len(found) // len(specs))


def _write(folder: Path, number: int, seed: Seed, other: Seed, draw: random.Random) -> Path:
    path = folder / seed.kind / f"{number}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    if draw.random() < 0.5:
        path.write_bytes(damage_bytes(seed.content, other.content, draw))
    else:
        text = json.dumps(damage_data(seed.data, other.data, draw), indent=1)
        path.write_text(text, encoding="utf-8")  # JSON is YAML
    return path


@contextmanager
def _on_an_island(home: Path) -> Iterator[None]:
    """Isolation: no hub, no data, an empty cache and an empty working folder."""
    home.mkdir()
    before = Path.cwd()
    os.chdir(home)
    settings = {"HARNESS_OFFLINE": "1", "HARNESS_CACHE": str(home / "cache")}
    try:
        with patch.dict(os.environ, settings):
            os.environ.pop("HARNESS_DATA", None)
            yield
    finally:
        os.chdir(before)


def _ending(arguments: list[str]) -> Ending:
    """Run a command in this process."""
    said = io.StringIO()
    began = time.process_time()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            with _limited(LIMIT_SECONDS + MOST_TRIALS / TRIALS_A_SECOND):
                main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except HangError:
            return Ending(None, said.getvalue())
    allowed = LIMIT_SECONDS + (_trials(said.getvalue()) or 0) / TRIALS_A_SECOND
    return Ending(code if time.process_time() - began <= allowed else None, said.getvalue())


def _trials(said: str) -> int | None:
    """How many trials `validate` counted; None if it did not."""
    trials = re.search(r"students, ([\d,]+) trials", said)
    return int(trials[1].replace(",", "")) if trials else None


def _is_small_plan(validated: Ending) -> bool:
    trials = _trials(validated.said)
    return validated.code == 0 and trials is not None and trials <= SMALL


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _judge(verdict: Verdict, path: Path, ending: Ending, seen: list[str]) -> None:
    if ending.code is None:
        verdict.claim(False, f"{path}: no end within the processor time allowed")
        return
    verdict.claim(ending.code in (0, 2), f"{path}: ended with {ending.code}: {ending.said[-300:]}")
    verdict.claim("Traceback" not in ending.said, f"{path}: a traceback: {ending.said[-300:]}")
    verdict.claim(ending.code == 0 or bool(ending.said.strip()), f"{path}: refused without a word")
    verdict.claim(not seen, f"{path}: {seen[:3]}")


def _code_of_a_process(path: Path) -> int:
    done = subprocess.run([sys.executable, "-m", "harness.cli", "validate", str(path)], capture_output=True)
    return done.returncode


if __name__ == "__main__":
    command(prove, count=5000)
