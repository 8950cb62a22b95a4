"""`harness doctor`: which of the shipped specs can run here, what this machine has, and which sources answer."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from harness.assets.asset import Asset, HubSource, NpmSource, PypiSource, WebSource
from harness.assets.sources import Sources
from harness.cli.options import RUNS, AsJson, DataDir, Debug, RunsDir, console, example

PACKAGES = ("distil-harness", "torch", "transformers", "ray", "duckdb", "streamlit")
PATIENCE = 2.0
"""Seconds that `harness doctor` waits for sources to answer, all of them together."""


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
    everything: Annotated[
        bool, typer.Option("--all", help="Also the machine, its packages, and every source.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say of each shipped spec whether its inputs can be reached from here; with --all, show what this machine
    has and which sources of models and data can be reached from it."""
    import dataclasses

    from harness.cli.planned.from_spec import sources_of

    sources = sources_of(data_dir)
    if offline:
        sources = dataclasses.replace(sources, offline=True)
    found = _answers(_shipped_inputs(), sources)
    checks = [*_memory(), *_folders(runs_dir, sources.cache_dir, sources.data_dir)]
    checks = [one for one in checks if everything or as_json or not one.ok]
    if everything or as_json:
        checks = [*_machine(), *checks, *_sources_found(sources)]
    checks += list(_verdicts(found))
    if as_json:
        print(json.dumps([asdict(one) for one in checks], indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for one in checks if everything else checks[: -len(found)]:
        mark = Text("ok", style="green") if one.ok else Text("--", style="yellow")
        table.add_row(mark, one.what, f"{one.outcome}{'; ' + one.advice if one.advice else ''}")
    if table.row_count:
        console().print(table)
    print("; ".join(f"{one.what}: {one.outcome}" for one in _verdicts(found)))


def _shipped_inputs() -> dict[str, dict[str, Asset]]:
    """Spec -> what it needs: purpose -> asset; data of optional tasks is not needed."""
    from harness.plan import inputs_of
    from harness.spec.catalog import shipped_spec_files
    from harness.spec.resolve import load_spec

    inputs = {}
    for name, path in shipped_spec_files().items():
        resolved = load_spec(path)
        spare = {asset for one in resolved.tasks if one.optional for asset in one.task.assets.values()}
        inputs[name] = {what: asset for what, asset in inputs_of(resolved).items() if asset not in spare}
    return inputs


def _answers(
    inputs: dict[str, dict[str, Asset]], sources: Sources, patience: float = PATIENCE
) -> dict[str, dict[Asset, bool]]:
    """Spec -> asset -> whether a source has it; a source that says nothing within `patience` seconds has not."""
    from harness.assets.availability import check

    reached: dict[Asset, bool] = {}

    def ask(asset: Asset) -> None:
        reached[asset] = check(asset, sources).ok

    threads = [
        Thread(target=ask, args=(one,), daemon=True) for one in {*chain(*map(dict.values, inputs.values()))}
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    answered = dict(reached)
    return {
        name: {one: answered.get(one, False) for one in assets.values()} for name, assets in inputs.items()
    }


def _verdicts(found: dict[str, dict[Asset, bool]]) -> Iterator[Check]:
    """One for each shipped spec: `ready`, or which kind of source is missing."""
    for name, answers in found.items():
        missing = [asset for asset, ok in answers.items() if not ok]
        kinds = sorted({_kind(asset) for asset in missing})
        yield Check(name, f"no {', no '.join(kinds)}" if missing else "ready", not missing)


def _kind(asset: Asset) -> str:
    """The first remote source of an asset, in a word or two."""
    words = {HubSource: "hub", PypiSource: "package index", NpmSource: "npm registry", WebSource: "web"}
    return next((words[type(one)] for one in asset.sources if type(one) in words), "local file")


def _machine() -> Iterator[Check]:
    from harness.devices.provenance import fingerprint

    yield Check("machine", fingerprint(1))
    for package in PACKAGES:
        try:
            yield Check(package, version(package))
        except PackageNotFoundError:
            yield Check(package, "not installed", False, "run `make setup`")


def _memory() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    enough = memory.available > 4 * 2**30
    yield Check(
        "memory",
        f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}",
        enough,
        "" if enough else "the quickstart needs 6 GiB; with `--cpus 1` less",
    )


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
