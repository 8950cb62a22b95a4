"""Settings shared by all sides of a comparison, and the command line of one subject."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.rows import Row, table
from harness.devices.cores import available_cores
from harness.devices.placement import Resolved, resolve_precision
from harness.shapes import Shape
from harness.spec.entries import Student


@dataclass(frozen=True)
class Conditions:
    """Threads, device, sizes and repeats of a run."""

    quick: bool
    """Models of a few thousand weights and few repeats: a smoke test, not a measurement."""
    threads: int
    rounds: int
    """Timed rounds per side."""
    device: Literal["cpu", "cuda"]
    folder: Path
    """Folder for models, corpora and runs; removed afterwards."""
    spec: str = ""
    """Name of the shipped spec, for subjects that run one."""

    @property
    def batch_size(self) -> int:
        """Blocks per step."""
        return 2 if self.quick else 8

    @property
    def length(self) -> int:
        """Tokens per block."""
        return 32 if self.quick else 128

    @property
    def tokens(self) -> int:
        """Tokens per step."""
        return self.batch_size * self.length

    @property
    def auto(self) -> Resolved:
        """The precision that the harness chooses on this machine."""
        return resolve_precision("auto", self.torch_device)

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    @property
    def cache(self) -> Path:
        """The harness's cache folder in this run."""
        return self.folder / "cache"

    def teacher(self, vocabulary: int = 30_522) -> Shape:
        """BERT-base: 12 layers, width 768."""
        if self.quick:
            return Shape(3, 96, 2, 192, min(vocabulary, 600), "bert", mlm_head=True)
        return Shape(12, 768, 12, 3072, vocabulary, "bert", mlm_head=True)

    def student(self, name: str) -> Student:
        """`6L-384` or `3L-192`, heads of 32."""
        layers, width = (2, 48) if self.quick else {"6L-384": (6, 384), "3L-192": (3, 192)}[name]
        return Student(name=name.lower(), layers=layers, width=width, heads=max(2, width // 32))

    def synchronise(self) -> None:
        """Wait for the GPU, if there is one."""
        if self.device == "cuda":
            torch.cuda.synchronize()


Run = Callable[[Conditions], Iterator[Row]]


def main(subject: str, run: Run, specs: Sequence[str] = ()) -> None:
    """`python -m benchmarks.SUBJECT`: run one subject, print its rows, write them where asked. `specs`: those that may be
    named, the first by default."""
    prog = f"python -m benchmarks.{subject}"
    module = sys.modules[run.__module__]
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"{module.__doc__}\n\n{run.__doc__}",
        epilog=f"Example, a smoke test on tiny models: {prog} --quick --rounds 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    if specs:
        parser.add_argument("spec", nargs="?", choices=specs, default=specs[0], help=f"default: {specs[0]}")
    options = parser.parse_args()
    # Some libraries read these only once; others print warnings that do not concern a benchmark.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix=f"bench-{subject}-", dir=options.folder) as folder:
        device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
        conditions = Conditions(
            options.quick,
            options.threads,
            options.rounds,
            device,
            Path(folder),
            options.spec if specs else "",
        )
        began = time.perf_counter()
        rows = []
        for row in run(conditions):
            rows.append(row)
            print(row, flush=True)
        seconds = time.perf_counter() - began
    print(f"\n{table(rows)}\n{subject}: {seconds:.0f} s")
    if options.json:
        text = {"subject": subject, "seconds": seconds, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(text, indent=2), encoding="utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of every subject and of the whole run."""
    parser.add_argument(
        "--quick", action="store_true", help="smoke test on tiny models; its figures mean nothing"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=available_cores(),
        help="threads of each side of a comparison (default: all cores)",
    )
    parser.add_argument("--rounds", type=int, default=9, help="how often each side is timed (default: 9)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--folder", type=Path, help="folder for temporary files (default: the system's)")
