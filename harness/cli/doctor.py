"""`harness doctor`: what this machine has, and which sources answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from harness.assets.sources import Sources
from harness.cli.options import RUNS, AsJson, DataDir, Debug, RunsDir, console, example

PACKAGES = ("distil-harness", "torch", "transformers", "ray", "duckdb", "streamlit")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness doctor"))(doctor)


@dataclass(frozen=True)
class Check:
    """One line of the report: the subject of the check, and its result."""

    what: str
    outcome: str
    ok: bool = True
    advice: str = ""


def doctor(
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the hub or package indexes.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what this machine has and which sources of models and data can be reached from it."""
    import dataclasses

    from harness.cli.planned.from_spec import sources_of

    sources = sources_of(data_dir)
    if offline:
        sources = dataclasses.replace(sources, offline=True)
    checks = [*_machine(), *_folders(runs_dir, sources.cache_dir, sources.data_dir)]
    checks += list(_sources_found(sources))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("--", style="yellow")
        table.add_row(mark, check.what, f"{check.outcome}{'; ' + check.advice if check.advice else ''}")
    console().print(table)


def _machine() -> Iterator[Check]:
    import psutil

    from harness.devices.provenance import fingerprint

    yield Check("machine", fingerprint(1))
    memory = psutil.virtual_memory()
    enough = memory.available > 4 * 2**30
    yield Check(
        "memory",
        f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}",
        enough,
        "" if enough else "the quickstart needs 6 GiB; with `--cpus 1` less",
    )
    for package in PACKAGES:
        try:
            yield Check(package, version(package))
        except PackageNotFoundError:
            yield Check(package, "not installed", False, "run `make setup`")


def _folders(runs_dir: Path, cache_dir: Path, data_dir: Path | None) -> Iterator[Check]:
    for what, folder in (("runs", runs_dir), ("cache", cache_dir)):
        existing = folder.resolve()
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free / 2**30
        yield Check(
            f"{what} folder", f"{folder}, {free:.0f} GiB free", free > 5, "" if free > 5 else "little room"
        )
    if data_dir is not None:
        yield Check("data folder", str(data_dir))


def _sources_found(sources: Sources) -> Iterator[Check]:
    """Whether each asset of the shipped catalog is available."""
    from harness.assets.availability import check_all
    from harness.spec.catalog import Catalog
    from harness.spec.entries import Corpus, Task, Teacher

    catalog = Catalog()
    assets = {f"teacher {one.name}": one.asset for one in catalog.entries("teachers", Teacher)}
    for corpus in catalog.entries("corpora", Corpus):
        for number, text in enumerate(corpus.texts):
            assets[f"corpus {corpus.name}, {text.language} {number}"] = text.asset
    for task in catalog.entries("tasks", Task):
        assets |= {f"task {task.name}, {name}": asset for name, asset in task.assets.items()}
    for name, availability in check_all(assets, sources).items():
        yield Check(name, availability.where or " ".join(availability.problem.split()), availability.ok)
