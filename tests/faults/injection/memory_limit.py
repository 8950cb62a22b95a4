"""Runs a plan in which one student needs more memory than the whole run may use (needs root: it uses a memory cgroup).

Costs one run of a small plan per fault and some 5 GB of memory, and one undisturbed run.

The kernel kills that student's worker whenever it has one, the trial ends as `out_of_memory`, and everything beside it
is `ok` with weights and scores of an undisturbed run to the last bit.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.injection.aftermath import undisturbed
from tests.faults.injection.tiny import answers, harness_run, recorded
from tests.faults.injection.verdict import CannotTryError, Verdict, command

HEADROOM = 400 * 2**20
"""Bytes that the run may use beyond its peak without the large student."""
HOG = {"name": "hog", "layers": 24, "width": 2048, "heads": 16, "ffn": 8192}
"""Weights of 4.8 GB in float32."""
METHOD, SEED = "od", 1
"""Of the one large student, a member of a cohort of small ones."""


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Run the plan with the large student in it `count` times; chance has no part in it."""
    verdict = Verdict("memory limit")
    with _group(f"harness-faults-{os.getpid()}") as group:
        reference = undisturbed(folder, prefix=group.prefix, measure={"enabled": False})
        crowded = _with_the_hog(reference.spec)
        limit = group.peak() + HEADROOM
        group.limit(limit)
        for number in range(count):
            runs = folder / f"crowded-{number}"
            run = harness_run(crowded, runs, prefix=group.prefix)
            code = run.wait()
            verdict.claim(code == 1, f"{runs.name}: ended with {code}: {run.said[-500:]}")
            _check(verdict, runs, reference.answers)
        kills = group.kills()
    verdict.claim(kills > 0, "the kernel killed nothing: the limit was not reached")
    verdict.figures = (
        f"{count} runs within {limit / 2**30:.1f} GiB, {kills} processes killed by the kernel, "
        f"{len(reference.answers)} trials beside it each time"
    )
    return verdict


def _with_the_hog(spec: Path) -> Path:
    """The same plan with the large student added."""
    plan = json.loads(spec.read_text(encoding="utf-8"))
    others = [method for method in plan["grid"]["method"] if method != METHOD]
    seeds = [seed for seed in plan["grid"]["seed"] if seed != SEED]
    plan["grid"]["student"].append(HOG)
    plan["exclude"] = [{"student": HOG["name"], "method": others}, {"student": HOG["name"], "seed": seeds}]
    path = spec.with_name("crowded.yaml")
    path.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    return path


def _check(verdict: Verdict, runs: Path, expected: dict[str, object]) -> None:
    found = answers(runs)
    for name, answer in expected.items():
        verdict.claim(found.get(name) == answer, f"{runs.name}: {name} is {found.get(name)}, alone {answer}")
    failed = [result for result in recorded(runs).values() if result.status == "failed"]
    reasons = [result.error.reason for result in failed if result.error]
    verdict.claim(reasons == ["out_of_memory"], f"{runs.name}: failures are {reasons}")


@dataclass(frozen=True)
class _Group:
    """A memory cgroup of version 1 or 2."""

    folder: Path
    files: dict[str, str]

    @property
    def prefix(self) -> tuple[str, ...]:
        """Command prefix that runs a command inside the group."""
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh")

    def limit(self, size: int) -> None:
        """Limit all processes of the group together to `size` bytes."""
        (self.folder / self.files["limit"]).write_text(str(size))

    def peak(self) -> int:
        """Peak memory of the group in bytes."""
        return int((self.folder / self.files["peak"]).read_text())

    def kills(self) -> int:
        """Number of processes that the kernel killed for exceeding the limit."""
        lines = (self.folder / self.files["kills"]).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextmanager
def _group(name: str) -> Iterator[_Group]:
    root = Path("/sys/fs/cgroup")
    if (root / "memory" / "memory.limit_in_bytes").exists():
        names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
        group = _Group(root / "memory" / name, dict(zip(("limit", "peak", "kills"), names, strict=True)))
    else:
        names = ("memory.max", "memory.peak", "memory.events")
        group = _Group(root / name, dict(zip(("limit", "peak", "kills"), names, strict=True)))
    try:
        group.folder.mkdir()
    except OSError as error:
        raise CannotTryError(f"no memory cgroup can be made: {error}") from error
    if not (group.folder / group.files["limit"]).exists():
        group.folder.rmdir()
        raise CannotTryError("cgroups here do not control memory")
    try:
        yield group
    finally:
        for _ in range(100):  # its last processes take a moment to go
            with suppress(OSError):
                group.folder.rmdir()
                break
            time.sleep(0.1)


if __name__ == "__main__":
    command(prove, count=3)
