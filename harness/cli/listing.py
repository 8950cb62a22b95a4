"""`harness specs` and `harness list`: what ships, and what the catalog holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import AsJson, Catalogs, Debug, console, example

if TYPE_CHECKING:
    from harness.spec.entries import CatalogEntry

Row = Mapping[str, str | int]


class Kind(StrEnum):
    """Kinds of catalog entries, by their folders."""

    tasks = "tasks"
    students = "students"
    teachers = "teachers"
    corpora = "corpora"
    methods = "methods"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness specs, then harness run quickstart"))(specs)
    app.command("list", epilog=example("harness list tasks"))(list_)


def specs(as_json: AsJson = False, debug: Debug = False) -> None:
    """List the specs that ship: `harness run NAME` runs one from anywhere, `harness plan NAME` says what it costs."""
    from harness.plan import build_plan
    from harness.spec.catalog import shipped_spec_files
    from harness.spec.grid import expand
    from harness.spec.resolve import load_spec

    def rows() -> Iterator[Row]:
        for name, path in shipped_spec_files().items():
            resolved = load_spec(path)
            cells = expand(resolved)
            plan = build_plan(resolved, lambda asset: asset.sha256 or asset.model_dump_json(), "", cells)
            yield {
                "spec": name,
                "students": len(cells),
                "trials": len(plan.trials),
                "what it is": resolved.spec.description,
            }

    _print(list(rows()), as_json)


def list_(
    kind: Annotated[Kind, typer.Argument(help="Kind of entry.", show_default=False)],
    catalog: Catalogs = [],  # noqa: B006 (typer reads the default, nobody changes it)
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the tasks, students, teachers, corpora or methods that a spec can name."""
    from harness.spec.catalog import NOUNS, Catalog
    from harness.spec.entries import entry_kinds

    entries = Catalog(catalog).entries(kind, entry_kinds()[kind])
    noun = NOUNS[kind]
    _print([{noun: one.name, **_facts(one), "what it is": one.summary} for one in entries], as_json)


def _facts(entry: CatalogEntry) -> Row:
    """What tells entries of its kind apart."""
    from harness.spec.entries import Corpus, Method, Student, Task, Teacher

    match entry:
        case Method():
            return {"family": entry.family}
        case Student():
            return {"layers": entry.layers, "width": entry.width, "heads": entry.heads}
        case Teacher():
            return {"languages": _languages(entry.languages), "licence": str(entry.licence or "")}
        case Corpus():
            return {"languages": _languages([text.language for text in entry.texts])}
        case Task():
            return {
                "suite": entry.suite,
                "kind": entry.type,
                "metrics": ", ".join(entry.metrics),
                "languages": _languages(entry.languages),
            }
        case _:
            return {}


def _languages(codes: Any) -> str:
    known = sorted(set(codes))
    return ", ".join(known) if len(known) <= 3 else f"{len(known)} languages"


def _print(rows: list[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, value in rows[0].items():
        table.add_column(
            name, justify="right" if isinstance(value, int) else "left", no_wrap=name != "what it is"
        )
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console().print(table)
