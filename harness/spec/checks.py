"""Can every cell of the grid work? Checked on shapes alone, before anything is fetched or trained. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.base import Problem
from harness.errors import InputError
from harness.intact.pieces import highest_piece, require_rows_for
from harness.intact.weights import require_weights
from harness.methods.layer import relation_head_problems
from harness.shapes import Shape
from harness.spec.entries import Teacher
from harness.spec.grid import Cell, expand
from harness.spec.initialisation import Initialisation
from harness.spec.resolve import ResolvedSpec, ResolvedTask, TeacherChoice
from harness.spec.selecting import select_complaints
from harness.spec.shipped import (
    Locate,
    checkpoint_folder,
    corruption_complaints,
    length_complaints,
    local_folder,
    require_tokenizer,
)
from harness.spec.yaml.source import Complaint, Mark, refuse


def check_cells(
    resolved: ResolvedSpec, cells: list[Cell] | None = None, locate: Locate = local_folder
) -> None:
    """SpecError with one line for each combination that cannot work and the numbers that would.

    Sizes of teachers come from `teacher_shape`; a teacher of unknown size is checked before the first trial instead."""
    cells = expand(resolved) if cells is None else cells
    complaints = [
        *_cell_complaints(resolved, cells, locate),
        *_task_complaints(resolved),
        *_worker_complaints(resolved, cells),
        *_overlap_complaints(resolved, cells),
        *length_complaints(resolved, cells, locate),
        *corruption_complaints(resolved, cells, locate),
        *select_complaints(resolved, cells),
        *_analyse_complaints(resolved, cells, locate),
    ]
    if complaints:
        raise refuse(complaints)


def teacher_shape(teacher: Teacher, locate: Locate = local_folder) -> Shape | None:
    """The size of a checkpoint: of its files on this machine, else as declared; None where neither is known.

    InputError where those files are not whole, or are not what `shape:` declares."""
    from harness.shapes import check_declared, declared_shape, read_shape

    folder = checkpoint_folder(teacher, locate)
    if folder is None:
        return declared_shape(teacher.shape) if teacher.shape else None
    require_weights(folder)
    shape = read_shape(folder)
    if teacher.shape is not None:
        check_declared(teacher.shape, shape, teacher.name)
    require_tokenizer(teacher, folder, shape, locate)
    return shape


class _Shapes:
    """The size of each teacher as it teaches, read once."""

    def __init__(self, resolved: ResolvedSpec, locate: Locate) -> None:
        self.resolved = resolved
        self.locate = locate
        self.complaints: list[Complaint] = []
        self._known: dict[int, Shape | None] = {}

    def of(self, choice: TeacherChoice) -> Shape | None:
        """As it teaches: prepared where the spec prepares, or the assistant made from it."""
        root = self._root(choice)
        if root is None or choice.assistant is None:
            return root
        student = choice.assistant.student.entry.shape(root)
        return replace(student, mlm_head=choice.assistant.method.entry.trains_mlm_head)

    def _root(self, choice: TeacherChoice) -> Shape | None:
        key = id(choice.root)
        if key not in self._known:
            try:
                shape = teacher_shape(choice.root.entry, self.locate)
            except InputError as error:
                self.complaints.append(Complaint(self.resolved.mark(choice.root.path), str(error)))
                shape = None
            if shape is not None and self.resolved.spec.prepare is not None:
                shape = replace(shape, mlm_head=True)
            self._known[key] = shape
        return self._known[key]


def _cell_complaints(resolved: ResolvedSpec, cells: list[Cell], locate: Locate) -> Iterator[Complaint]:
    shapes = _Shapes(resolved, locate)
    seen: set[tuple[object, ...]] = set()
    for choice in {id(cell.teacher): cell.teacher for cell in cells}.values():
        root = shapes._root(choice)
        if root is not None and choice.assistant is not None:
            student = choice.assistant.student.entry.shape(root)
            for problem in choice.assistant.method.entry.problems(root, student):
                message = f"assistant {choice.name!r}: {_dotted(problem)}{problem.message}"
                yield Complaint(resolved.mark(choice.path), message)
    for use in resolved.models:
        try:
            teacher_shape(use.entry, locate)
        except InputError as error:
            yield Complaint(resolved.mark(use.path), str(error))
    for cell in cells:
        key = (id(cell.teacher), id(cell.method), id(cell.student), id(cell.init.init), cell.recipe.input)
        if key in seen:
            continue
        seen.add(key)
        teacher = shapes.of(cell.teacher)
        if teacher is not None:
            yield from _one_cell(resolved, cell, teacher, locate)
        if cell.recipe.input == "clean" and any(
            term.needs_masked_input for term in cell.method.entry.objective
        ):
            yield Complaint(
                _method_mark(resolved, cell, Problem(("objective",), "")),
                f"method {cell.method.entry.name!r} reads corrupted positions, which "
                "`distil.input: clean` does not have; "
                "use `input: masked`, or `positions: all` where the term has it",
            )
    yield from shapes.complaints


def _one_cell(resolved: ResolvedSpec, cell: Cell, teacher: Shape, locate: Locate) -> Iterator[Complaint]:
    method, entry = cell.method.entry, cell.student.entry
    student = entry.shape(teacher)
    who = f"method {method.name!r}, student {entry.name!r}, teacher {cell.teacher.name!r}: "
    for problem in method.problems(teacher, student):
        yield Complaint(_method_mark(resolved, cell, problem), who + _dotted(problem) + problem.message)
    for problem in cell.init.init.problems(teacher, student):
        yield Complaint(resolved.mark(cell.init.path), who + problem.message)
    for message in _checkpoint_problems(cell.init.init, student, locate):
        yield Complaint(resolved.mark(cell.init.path), who + message)


def _checkpoint_problems(init: Initialisation, student: Shape, locate: Locate) -> Iterator[str]:
    """Why the checkpoint a student starts from is of another size or vocabulary."""
    from harness.shapes import read_shape

    folder = locate(init.checkpoint) if init.checkpoint is not None else None
    if folder is None:
        return
    try:
        require_weights(folder)
        shape = read_shape(folder)
        require_rows_for(highest_piece(folder) or 0, shape.vocabulary, folder)
    except InputError as error:
        yield str(error)
        return
    for field in ("model_type", "layers", "width", "heads", "ffn", "vocabulary"):
        have, want = getattr(shape, field), getattr(student, field)
        if have != want:
            yield f"the checkpoint it starts from has {field} {have}; {want} is needed"


def _dotted(problem: Problem) -> str:
    return f"{'.'.join(str(step) for step in problem.field)}: " if problem.field else ""


def _method_mark(resolved: ResolvedSpec, cell: Cell, problem: Problem) -> Mark:
    """The field's own line where the method is inline, else the line that names the method."""
    inline = cell.method.inline
    return resolved.mark((*inline, *problem.field) if inline else cell.method.path)


def _worker_complaints(resolved: ResolvedSpec, cells: list[Cell]) -> Iterator[Complaint]:
    """Several workers must compute what one would: they divide batches evenly and draw no dropout of their own."""
    workers = resolved.spec.resources.distil.workers
    recipes = {cell.recipe for cell in cells if workers > 1}
    mark = resolved.mark(("resources", "distil", "workers"))
    for size in sorted({recipe.batch_size for recipe in recipes if recipe.batch_size % workers}):
        yield Complaint(
            mark,
            f"{workers} workers cannot share batches of {size} evenly; "
            "make `distil.batch_size` a multiple of `workers`",
        )
    if any(recipe.dropout for recipe in recipes):
        yield Complaint(
            mark,
            "each worker would draw its own `distil.dropout`, so the student would depend on their number; "
            "use `dropout: 0` or `workers: 1`",
        )


def _analyse_complaints(resolved: ResolvedSpec, cells: list[Cell], locate: Locate) -> Iterator[Complaint]:
    """Why students cannot be analysed: relation heads that do not divide both widths, seeds that the grid has not."""
    recipe = resolved.spec.analyse
    if not recipe.enabled:
        return
    shapes, seen = _Shapes(resolved, locate), set()
    for cell in cells:
        teacher = shapes.of(cell.teacher)
        key = (id(cell.teacher), id(cell.student))
        if teacher is not None and key not in seen:
            seen.add(key)
            student = cell.student.entry.shape(teacher)
            for problem in relation_head_problems(recipe.relation_heads, teacher, student):
                yield Complaint(resolved.mark(("analyse", "relation_heads")), problem.message)
    strange = sorted(set(recipe.seeds or ()) - set(resolved.spec.grid.seed))
    if strange:
        have = ", ".join(map(str, resolved.spec.grid.seed))
        which = ", ".join(map(str, strange))
        yield Complaint(
            resolved.mark(("analyse", "seeds")), f"the grid has no seed {which}; {have} would work"
        )


def _task_complaints(resolved: ResolvedSpec) -> Iterator[Complaint]:
    for task_use in resolved.tasks:
        for languages in resolved.languages:
            if not task_use.evaluated(languages.codes):
                yield Complaint(
                    resolved.mark((*task_use.path, "languages")),
                    f"the task {task_use.task.name!r} has none of the languages of {languages.name!r}; "
                    f"it has {', '.join(task_use.task.languages)}",
                )
        yield from (
            Complaint(resolved.mark(task_use.path), message) for message in _selection_problems(task_use)
        )


def _overlap_complaints(resolved: ResolvedSpec, cells: list[Cell]) -> Iterator[Complaint]:
    """Streamed text cannot be searched for evaluated sentences beforehand; only those of tasks that the corpus excludes
    are removed, while streaming."""
    if resolved.spec.prepare is None and not any(map(_learns, cells)):
        return
    for use in {id(use): use for use in resolved.corpora.values() if use.entry.streaming}.values():
        excluded = {task if isinstance(task, str) else task.name for task in use.entry.exclude}
        unexcluded = [one.task.name for one in resolved.tasks if one.task.name not in excluded]
        if unexcluded:
            yield Complaint(
                resolved.mark(use.path),
                f"the corpus {use.entry.name!r} is streamed, so sentences of its tasks can only be removed "
                f"while it is read: add {', '.join(unexcluded)} to its `exclude`, or `exclude_overlap: true` to the spec",
            )


def _learns(cell: Cell) -> bool:
    """Whether anything is trained on text for this cell: its student, or the assistant that teaches it."""
    return bool(cell.method.entry.objective) or cell.teacher.assistant is not None


def _selection_problems(task_use: ResolvedTask) -> Iterator[str]:
    wanted = task_use.finetune.select_on
    if (
        wanted in ("dev", "dev_en", "dev_all")
        and task_use.task.kind.trains
        and "dev" not in task_use.task.splits
    ):
        yield (
            f"`select_on: {wanted}` needs a dev split, which the task {task_use.task.name!r} has not; "
            "use train_holdout"
        )
    if wanted == "dev_en" and "en" not in task_use.task.languages:
        have = ", ".join(task_use.task.languages)
        yield f"`select_on: dev_en` needs English rows; the task {task_use.task.name!r} has {have}"
