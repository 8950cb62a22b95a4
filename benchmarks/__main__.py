"""`make bench`: every subject in a process of its own, one after another, then the table.

Writes RESULTS.md and results.json beside this file (`--out` for another folder). Subjects may be named; the
others then keep the rows of the last run on this machine."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.conditions import add_options
from benchmarks.rows import Row, table
from harness import flops
from harness.devices import provenance
from harness.devices.matmul import measure_matmul
from harness.devices.placement import resolve_precision

SUBJECTS = {
    "steps": "A training step against plain PyTorch",
    "outputs": "Output distributions against TextBrewer",
    "relation_loss": "The relation loss alone",
    "cohort": "Six students on one teacher pass",
    "teacher_pass": "The teacher's pass",
    "finetuning": "Fine-tuning",
    "orchestration": "Orchestration",
    "planning": "Planning",
    "growth": "Growth",
    "quickstart": "Quickstart",
}


def main() -> int:
    """Run the subjects, collect their rows, write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog="Example: python -m benchmarks steps --quick"
    )
    add_options(parser)
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"one or more of {', '.join(SUBJECTS)} (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent,
        help="folder to write RESULTS.md and results.json to",
    )
    options = parser.parse_args()
    unknown = sorted(set(options.subjects) - set(SUBJECTS))
    if unknown:
        parser.error(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    machine = _machine(options)
    path = options.out / "results.json"
    found = _kept(path, machine)
    failed = []
    for subject in options.subjects or SUBJECTS:
        print(f"\n{subject}: {SUBJECTS[subject]}", flush=True)
        result = _run(subject, options)
        if result is None:
            failed.append(subject)
        else:
            found[subject] = {**result, "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}
        text = {"machine": machine, "subjects": found, "failed": failed}
        options.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
        (options.out / "RESULTS.md").write_text(_markdown(machine, found, failed), encoding="utf-8")
    print(f"\n{options.out / 'RESULTS.md'}")
    return 1 if failed else 0


def _run(subject: str, options: argparse.Namespace) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{subject}", "--json", str(into)]
        command += ["--threads", str(options.threads), "--rounds", str(options.rounds)]
        command += ["--quick"] if options.quick else []
        command += ["--folder", str(options.folder)] if options.folder else []
        done = subprocess.run(command)
        if done.returncode:
            return None
        result: dict[str, Any] = json.loads(into.read_text(encoding="utf-8"))
        return result


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    """The machine and versions behind every figure."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    behind = provenance.collect(device=device, precision="fp32", threads=options.threads)
    versions = {name: behind.versions[name] for name in ("python", "torch", "transformers", "numpy")}
    return {
        "fingerprint": behind.fingerprint,
        "device": behind.device,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "versions": versions,
        "threads": options.threads,
        "rounds": options.rounds,
        "quick": options.quick,
        "auto_precision": resolve_precision("auto", torch.device(device)),
        "matmul_gflops": {
            precision: round(measure_matmul(device, precision, options.threads) / 1e9, 1)
            for precision in ("fp32", "bf16")
        },
    }


def _kept(path: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """Rows of an earlier run under the same conditions."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = ("fingerprint", "versions", "rounds", "quick")
    if any(earlier["machine"].get(key) != machine[key] for key in same):
        return {}
    kept: dict[str, Any] = earlier["subjects"]
    return kept


def _markdown(machine: dict[str, Any], found: dict[str, Any], failed: list[str]) -> str:
    lines = ["# Results of `make bench`", "", *_preface(machine), ""]
    for subject, heading in SUBJECTS.items():
        if subject in failed:
            lines += [f"## {heading}", "", f"`python -m benchmarks.{subject}` failed.", ""]
        elif subject in found:
            rows = [Row(**row) for row in found[subject]["rows"]]
            lines += [f"## {heading}", "", table(rows), "", f"*{found[subject]['date']}*", ""]
    return "\n".join(lines)


def _preface(machine: dict[str, Any]) -> list[str]:
    rates = machine["matmul_gflops"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    slow = " (bf16 is the slower one here)" if rates["bf16"] < rates["fp32"] else ""
    lines = [
        f"Machine: {machine['fingerprint']}; {machine['memory_gib']} GiB; {machine['system']}.",
        f"Versions: {versions}.",
        f"Matrix products: {rates['fp32']:,.0f} GFLOP/s in fp32, {rates['bf16']:,.0f} in bf16{slow}. "
        f"`precision: auto` is {machine['auto_precision']} here.",
        f"All sides of a comparison: {machine['threads']} threads, the same batches, no dropout, fused AdamW, "
        f"clipping at 1. Each is timed in turn (A B A B ...), {machine['rounds']} rounds after one that does not "
        "count; ratios are of medians.",
        "Operations are those of matrix products:",
        "",
        "```text",
        (flops.__doc__ or "").partition("\n\n")[2].rstrip(),
        "```",
    ]
    if machine["quick"]:
        lines.insert(0, "**A smoke test (`--quick`): tiny models, no figure here means anything.**\n")
    return [
        line if line.startswith("`") else f"{line}\n" if line and not line.startswith(" ") else line
        for line in lines
    ]


if __name__ == "__main__":
    sys.exit(main())
