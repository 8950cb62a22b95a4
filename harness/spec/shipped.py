"""Shipped checkpoints that are on this machine already: whether their tokenizer fits, and whether they have positions for
the lengths that a spec asks for. Nothing is fetched or loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.assets.asset import Asset, LocalSource
from harness.errors import InputError
from harness.intact.pieces import highest_piece, missing_roles, require_rows_for
from harness.shapes import Shape
from harness.spec.entries import Teacher
from harness.spec.grid import Cell
from harness.spec.resolve import ResolvedSpec, ResolvedTask, TeacherChoice
from harness.spec.yaml.source import Complaint, NodePath

Locate = Callable[[Asset], Path | None]
"""Asset -> the folder on this machine that holds its files already, or None."""


def local_folder(asset: Asset) -> Path | None:
    """The first of the asset's local sources that exists."""
    paths = [Path(source.path) for source in asset.sources if isinstance(source, LocalSource)]
    return next((path for path in paths if path.is_dir()), None)


def checkpoint_folder(teacher: Teacher, locate: Locate) -> Path | None:
    """Where its checkpoint is; None where that is not on this machine, or not in transformers' layout."""
    if teacher.format != "transformers":
        return None
    return local_folder(teacher.asset) or locate(teacher.asset)


def require_tokenizer(teacher: Teacher, folder: Path, shape: Shape, locate: Locate) -> None:
    """InputError where the tokenizer of a checkpoint is incomplete, or gives ids without a row in the embedding."""
    where = _tokenizer_folder(teacher, folder, locate)
    highest = highest_piece(where) if where is not None else None
    if where is not None and highest is not None:
        require_rows_for(highest, shape.vocabulary, where)


def _tokenizer_folder(teacher: Teacher, folder: Path, locate: Locate) -> Path | None:
    """Where its tokenizer is: beside its weights unless it names another; None where that is not on this machine."""
    if teacher.tokenizer is None:
        return folder
    return local_folder(teacher.tokenizer) or locate(teacher.tokenizer)


def corruption_complaints(resolved: ResolvedSpec, cells: list[Cell], locate: Locate) -> Iterator[Complaint]:
    """Masked text that a teacher's tokenizer cannot make, at each part of the spec that asks for it."""
    asking: dict[NodePath, tuple[str, list[Cell]]] = {
        ("distil", "input"): ("distillation", [cell for cell in cells if cell.method.entry.objective]),
        ("prepare",): ("preparing", cells if resolved.spec.prepare is not None else []),
        ("analyse",): ("analysing", cells if resolved.spec.analyse.enabled else []),
    }
    for path, (what, those) in asking.items():
        for teacher in {cell.teacher.root.entry.name: cell.teacher.root.entry for cell in those}.values():
            lacks = _lacking(teacher, locate)
            if lacks:
                yield Complaint(
                    resolved.mark(path),
                    f"{what} masks text, but the tokenizer of {teacher.name!r} has {' and '.join(lacks)}; name the "
                    "piece in its tokenizer_config.json, or take another teacher",
                )


def _lacking(teacher: Teacher, locate: Locate) -> list[str]:
    folder = checkpoint_folder(teacher, locate)
    where = _tokenizer_folder(teacher, folder, locate) if folder is not None else None
    try:
        return missing_roles(where) if where is not None else []
    except (InputError, LookupError, TypeError, ValueError):  # reported where its pieces are counted
        return []


def length_complaints(resolved: ResolvedSpec, cells: list[Cell], locate: Locate) -> Iterator[Complaint]:
    """Inputs that are longer than a model has positions for."""
    limits = _Limits(resolved, locate)
    for task_use in resolved.tasks:
        where = _length_path(resolved, task_use)
        yield from limits.complaints(
            where, f"the task {task_use.task.name!r}", task_use.finetune.length, limits.every
        )
    taught = {id(cell.teacher): cell.teacher for cell in cells if cell.method.entry.objective}
    for cell in cells:
        if cell.method.entry.objective:
            yield from limits.complaints(
                ("distil", "length"), "distillation", cell.recipe.length, limits.of(taught.values())
            )
    if resolved.spec.prepare is not None:
        everyone = limits.of(cell.teacher for cell in cells)
        yield from limits.complaints(
            ("prepare", "length"), "preparing", resolved.spec.prepare.length, everyone
        )
    if resolved.spec.measure.enabled:
        yield from limits.complaints(
            ("measure", "length"), "measuring", resolved.spec.measure.length, limits.every
        )


def _length_path(resolved: ResolvedSpec, task_use: ResolvedTask) -> NodePath:
    """Where the length of a task is stated: at the task, else for all tasks."""
    own: NodePath = (*task_use.path, "finetune", "length")
    return own if own in resolved.document.values else ("finetune", "length")


class _Limits:
    """Tokens that each model of a spec has positions for, where its config.json is at hand."""

    def __init__(self, resolved: ResolvedSpec, locate: Locate) -> None:
        self._resolved = resolved
        self._locate = locate
        self._known: dict[int, int | None] = {}
        teachers = [choice for choices in resolved.teachers.values() for choice in choices]
        self.every = self.of(teachers) | {use.entry.name: self._limit(use.entry) for use in resolved.models}
        """Model -> its limit, for all models that are evaluated and measured."""

    def of(self, choices: Iterable[TeacherChoice]) -> dict[str, int | None]:
        """Checkpoint -> its limit, for the root checkpoints of these points of the teacher axis."""
        return {choice.root.entry.name: self._limit(choice.root.entry) for choice in choices}

    def complaints(
        self, path: NodePath, what: str, length: int, limits: dict[str, int | None]
    ) -> Iterator[Complaint]:
        """One for each model with too few positions."""
        for name, limit in limits.items():
            if limit is not None and length > limit:
                yield Complaint(
                    self._resolved.mark(path),
                    f"{what} reads inputs of {length} tokens, but {name!r} has positions for {limit}; "
                    f"use `length: {limit}` or less",
                )

    def _limit(self, teacher: Teacher) -> int | None:
        from harness.shapes import input_limit

        if id(teacher) not in self._known:
            folder = checkpoint_folder(teacher, self._locate)
            try:
                self._known[id(teacher)] = input_limit(folder) if folder is not None else None
            except InputError:  # reported where its shape is read
                self._known[id(teacher)] = None
        return self._known[id(teacher)]
