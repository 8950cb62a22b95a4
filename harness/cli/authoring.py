"""`harness methods`, `new` and `schema`: help with writing YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import AsJson, Catalogs, Command, CommandGroup, Debug, console, example
from harness.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.shapes import Shape
    from harness.spec.catalog import Catalog
    from harness.spec.entries import Method

Layers = Annotated[int, typer.Option(min=1, max=200)]

NEW_METHOD = """\
# yaml-language-server: $schema=../schema/method.json
# {name}: say here what is transferred and why, in one line.
schema: 1
name: {name}
summary: hidden states, uniform layers   # one line for tables
family: HS                               # OD, HS, MHA, composite or control
source: our own                          # paper and equation

# The loss is the weighted sum of these terms; docs/specs.md has every key of every term.
objective:
  - term: hidden_states
    weight: 1.0
    mapping: uniform                     # or {{name: uniform_consecutive, variant: balanced}}, emd, ...
    projection: linear                   # the student's width to the teacher's
  # - term: logits                       # needs a teacher with a masked-LM head (see `prepare:` of a spec)
  #   temperature: 2
  #   positions: masked
  # - term: relations                    # MiniLMv2
  #   heads: 12                          # must divide both widths
  #   teacher_layer: {{from_end: 1}}

# Where the student's weights start, only if the method itself says so; otherwise the spec decides.
# init: {{from: teacher, layers: alternate}}
"""

SCHEMA_WAYS = """\
The keys of every kind of YAML file, as JSON Schema for editors or as a text to read. Kinds: {kinds}.

  harness schema spec               print the schema of one kind
  harness schema --out specs/schema  write KIND.json of every kind
  harness schema --reference        print every key with its meaning, as Markdown

An editor checks a file while you type if its first line names a schema:
  # yaml-language-server: $schema=specs/schema/spec.json
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness methods minilmv2 --teacher modernbert-base --student-layers 6"))(
        methods
    )
    new = typer.Typer(
        help="Write a commented YAML file to start from.", no_args_is_help=True, cls=CommandGroup
    )
    new.command("method", cls=Command, epilog=example("harness new method my-method"))(new_method)
    new.callback()(lambda: None)
    app.add_typer(new, name="new")
    app.command(epilog=example("harness schema --out specs/schema"))(schema)


def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method's name, or the path of its file.", show_default=False)
    ] = None,
    teacher_layers: Layers = 12,
    student_layers: Layers = 6,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A teacher of the catalog or its file: its depth, and what of which layers is read. Nothing is fetched.",
            show_default=False,
        ),
    ] = None,
    catalog: Catalogs = [],  # noqa: B006 (typer reads the default, nobody changes it)
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the methods by family, or show one: its objective as a formula and its layer map drawn."""
    from harness.spec.catalog import Catalog
    from harness.spec.entries import Method

    searched = Catalog(catalog)
    if name is not None:
        method = searched.get("methods", name, Method, Path.cwd())[1]
        if as_json:
            print(json.dumps(method.model_dump(mode="json", by_alias=True), indent=2))
            return
        shape = _shape_of(searched, teacher) if teacher is not None else None
        _show(console(), method, shape.layers if shape else teacher_layers, student_layers)
        if shape is not None:
            _show_pairs(console(), method, shape, student_layers)
        return
    listed = list(searched.entries("methods", Method))
    if as_json:
        rows = [{"name": one.name, "family": one.family, "summary": one.summary} for one in listed]
        print(json.dumps(rows, indent=2))
        return
    _list(console(), listed)


def _list(out: Console, listed: list[Method]) -> None:
    from typing import get_args

    from rich.table import Table

    from harness.spec.entries import Family

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("family", "method", "what it is"):
        table.add_column(column)
    for family in get_args(Family):
        for number, one in enumerate(one for one in listed if one.family == family):
            table.add_row(family if number == 0 else "", one.name, one.summary)
    out.print(table)


def _shape_of(catalog: Catalog, name: str) -> Shape:
    """As declared, or as read from files on this machine."""
    from harness.spec.checks import teacher_shape
    from harness.spec.entries import Teacher

    shape = teacher_shape(catalog.get("teachers", name, Teacher, Path.cwd())[1])
    if shape is None:
        raise InputError(
            f"--teacher {name}: its size is not known before it is fetched; its file may declare `shape:`"
        )
    return shape


def _show_pairs(out: Console, method: Method, teacher: Shape, student_layers: int) -> None:
    """What is read of which layer, and why the method cannot serve a student of the teacher's width."""
    from dataclasses import replace

    from rich.text import Text

    from harness.methods.layer import pair_lines

    student = replace(teacher, layers=student_layers, layer_types=teacher.types_at(student_layers))
    lines = [*pair_lines(method.objective, teacher, student)]
    lines += [
        f"cannot serve this teacher: {problem.message}" for problem in method.problems(teacher, student)
    ]
    for line in lines:
        out.print(Text(f"\n{line}"))


def _show(out: Console, method: Method, teacher_layers: int, student_layers: int) -> None:
    from rich.text import Text

    from harness.methods.mappings.draw import picture
    from harness.methods.mappings.mapping import MappingParams

    out.print(Text.assemble((method.name, "bold"), f"  ({method.family})  {method.summary}"))
    if method.source:
        out.print(f"Source: {method.source}")
    out.print()
    if not method.objective:
        out.print("No objective: the student is not distilled.")
    for number, term in enumerate(method.objective):
        sign = "L =" if number == 0 else "  +"
        weight = "" if term.weight == 1 else f"{term.weight:g} · "
        out.print(Text(f"{sign} {weight}{term.formula()}"))
    if method.init is not None:
        from harness.spec.grid import init_label

        out.print(Text(f"Initialised: {init_label(method.init)}"))
    for term in method.objective:
        mapping = getattr(term, "mapping", None)
        if isinstance(mapping, MappingParams):
            out.print(
                f"\n{term.term}, {mapping.name}, "
                f"{teacher_layers} teacher and {student_layers} student layers:\n"
            )
            out.print(Text(picture(mapping, teacher_layers, student_layers)))


def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method.", show_default=False)],
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where methods/NAME.yaml is written.")
    ] = Path("specs"),
    debug: Debug = False,
) -> None:
    """Write methods/NAME.yaml, a commented method that works as it stands, and the schema that its first line
    points editors at (schema/method.json) where there is none."""
    from harness.cli.places import require_folder
    from harness.files import write_atomically
    from harness.spec.entries import Method
    from harness.spec.yaml.reference import schema_text
    from harness.spec.yaml.source import parse
    from harness.spec.yaml.validation import validate

    path = folder / "methods" / f"{name}.yaml"
    text = NEW_METHOD.format(name=name)
    validate(parse(text, f"name {name!r}", Path.cwd()), Method)
    require_folder("--dir", folder)
    if path.exists():
        raise InputError(f"{path} exists already; choose another name or edit that file")
    write_atomically(path, text)
    described = folder / "schema" / "method.json"
    if not described.exists():
        write_atomically(described, schema_text("method"))
    print(f"{path} written. Show it: harness methods {path}  Check it: harness validate {path}")


def schema(
    kind: Annotated[
        str | None, typer.Argument(help="spec, method, student, teacher, corpus or task.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write KIND.json of every kind here.", show_default=False),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all keys as Markdown.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Export the JSON Schema of each kind of YAML file, for editors, or the reference of all keys."""
    from harness.cli.places import require_folder
    from harness.files import write_atomically
    from harness.registry import did_you_mean
    from harness.spec.yaml import reference as keys

    if reference:
        print(keys.reference(), end="")
        return
    known = list(keys.kinds())
    if kind is None and out is None:
        print(SCHEMA_WAYS.format(kinds=", ".join(known)), end="")
        return
    if kind is not None and kind not in known:
        raise InputError(f"unknown kind {kind!r}; {did_you_mean(kind, known)}")
    wanted = known if kind is None else [kind]
    if out is None:
        print(json.dumps(keys.json_schema(wanted[0]), indent=1))
        return
    require_folder("--out", out)
    for kind_of_file in wanted:
        write_atomically(out / f"{kind_of_file}.json", keys.schema_text(kind_of_file))
        print(out / f"{kind_of_file}.json")
