"""A spec with every name replaced by what it names, and each use's place in the YAML remembered.

resolved = load_spec(Path("specs/quickstart.yaml"))
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from harness.errors import InputError, SpecError
from harness.registry import did_you_mean
from harness.spec.catalog import Catalog, anchored
from harness.spec.entries import CatalogEntry, Corpus, Method, Student, Task, Teacher
from harness.spec.languages import LANGUAGE_SETS, language_set_name
from harness.spec.recipes import Finetune
from harness.spec.schema import Assistant, Spec, TaskUse
from harness.spec.yaml.overrides import override
from harness.spec.yaml.source import Complaint, Document, Mark, NodePath, read
from harness.spec.yaml.validation import validate

E = TypeVar("E", bound=CatalogEntry)


@dataclass(frozen=True)
class Use(Generic[E]):
    """An entry and where the spec uses it."""

    entry: E
    path: NodePath
    """Path of the use in the spec."""
    document: Document
    """The document that holds the entry's own keys: the spec when it is inline, else its file."""

    @property
    def inline(self) -> NodePath | None:
        """Path of the entry's mapping in the spec, when it stands there."""
        return self.path if self.document.keys.get((*self.path, "name")) else None


@dataclass(frozen=True)
class LanguageSet:
    """One point of the language axis."""

    name: str
    codes: tuple[str, ...]
    """In alphabetical order."""
    path: NodePath


@dataclass(frozen=True)
class ResolvedAssistant:
    """A teacher that is first distilled from the spec's teacher."""

    name: str
    method: Use[Method]
    student: Use[Student]
    seed: int


@dataclass(frozen=True)
class TeacherChoice:
    """One point of the teacher axis."""

    root: Use[Teacher]
    """The checkpoint it goes back to."""
    assistant: ResolvedAssistant | None
    path: NodePath

    @property
    def name(self) -> str:
        """Name shown in tables."""
        return self.assistant.name if self.assistant else self.root.entry.name


@dataclass(frozen=True)
class ResolvedTask:
    """A task with the settings it is run with."""

    task: Task
    languages: str | tuple[str, ...]
    """`all`, `same` or codes."""
    finetune: Finetune
    """The spec's settings, overridden by the task's own."""
    path: NodePath
    optional: bool = False
    """Left out where its data cannot be obtained."""

    def evaluated(self, student_languages: Sequence[str]) -> tuple[str, ...]:
        """Languages on which a model of these languages is scored, in the task's order."""
        if self.languages == "all":
            return self.task.languages
        wanted = student_languages if self.languages == "same" else self.languages
        return tuple(code for code in self.task.languages if code in wanted)


@dataclass(frozen=True)
class ResolvedSpec:
    """Everything a plan needs; nothing is looked up by name any more."""

    spec: Spec
    """As written: grid, recipes, resources."""
    document: Document
    methods: tuple[Use[Method], ...]
    students: tuple[Use[Student], ...]
    languages: tuple[LanguageSet, ...]
    teachers: Mapping[str, tuple[TeacherChoice, ...]]
    """Language set -> points of the teacher axis."""
    corpora: Mapping[str, Use[Corpus]]
    """Language set -> its corpus, cut to those languages."""
    tasks: tuple[ResolvedTask, ...]
    models: tuple[Use[Teacher], ...]

    @property
    def name(self) -> str:
        return self.spec.name

    def mark(self, path: NodePath) -> Mark:
        """Where the value at `path` of the spec stands."""
        return self.document.value_mark(path)


def load_spec(
    path: Path,
    catalog: Sequence[Path] = (),
    settings: Sequence[str] = (),
    without: Collection[str] = (),
) -> ResolvedSpec:
    """Read, override (`--set`), validate and resolve the spec in `path`, less the tasks named `without`. SpecError lists
    every mistake with its place."""
    return resolve_document(read(path), catalog, settings, without)


def resolve_document(
    document: Document,
    catalog: Sequence[Path] = (),
    settings: Sequence[str] = (),
    without: Collection[str] = (),
) -> ResolvedSpec:
    """`load_spec` of a document that is read already."""
    document = anchored(override(document, settings))
    spec = validate(document, Spec)
    return resolve(spec, document, Catalog(catalog, beside=document.base), without)


def resolve(spec: Spec, document: Document, catalog: Catalog, without: Collection[str] = ()) -> ResolvedSpec:
    """Replace every name of `spec` by its catalog entry."""
    resolver = _Resolver(document, catalog)
    tasks = tuple(one for one in resolver.tasks(spec) if one.task.name not in without)
    if spec.exclude_overlap:
        resolver.excluded = tuple(one.task for one in tasks)
    grid = spec.grid
    languages = tuple(_language_sets(spec, document))
    methods = resolver.uses("methods", grid.method, Method, ("grid", "method"))
    students = resolver.uses("students", grid.student, Student, ("grid", "student"))
    corpora = {one.name: corpus for one in languages if (corpus := resolver.corpus(spec, one))}
    teachers = {one.name: resolver.teachers(spec, one, corpora.get(one.name)) for one in languages}
    models = resolver.uses("teachers", spec.models, Teacher, ("models",))
    resolver.raise_mistakes()
    return ResolvedSpec(spec, document, methods, students, languages, teachers, corpora, tasks, models)


def _language_sets(spec: Spec, document: Document) -> Iterator[LanguageSet]:
    seen: set[str] = set()
    for index, one in enumerate(spec.grid.language):
        codes = tuple(sorted(set(LANGUAGE_SETS[one] if isinstance(one, str) else one)))
        path: NodePath = ("grid", "language", index)
        name = language_set_name(codes)
        if not codes or name in seen:
            problem = "no language" if not codes else f"the language set {name!r} is named twice"
            raise SpecError([str(Complaint(document.value_mark(path), f"grid.language: {problem}"))])
        seen.add(name)
        yield LanguageSet(name, codes, path)


class _Resolver:
    """Looks up names and collects mistakes."""

    def __init__(self, document: Document, catalog: Catalog) -> None:
        self.document = document
        self.catalog = catalog
        self.complaints: list[Complaint] = []
        self.lines: list[str] = []
        self.excluded: tuple[Task, ...] = ()
        """Tasks whose evaluated sentences no corpus of the spec may hold."""

    def raise_mistakes(self) -> None:
        """SpecError if anything was wrong."""
        lines = [str(complaint) for complaint in sorted(set(self.complaints))]
        if lines or self.lines:
            raise SpecError(list(dict.fromkeys([*lines, *self.lines])))

    def complain(self, path: NodePath, message: str, document: Document | None = None) -> None:
        """Record a mistake at `path`."""
        self.complaints.append(Complaint((document or self.document).value_mark(path), message))

    def use(
        self, kind: str, ref: str | E, model: type[E], path: NodePath, inside: Document | None = None
    ) -> Use[E] | None:
        """The entry that `ref` names, or None after recording why there is none."""
        document = inside or self.document
        if isinstance(ref, str):
            try:
                file, entry = self.catalog.get(kind, ref, model, document.base)
            except SpecError as error:
                self.lines += error.lines
                return None
            except InputError as error:
                self.complain(path, str(error), document)
                return None
            at: NodePath = ()
        else:
            file, entry, at = document, ref, path
        entry = self._whole(entry, file, at)
        return Use(entry, path, file)

    def uses(self, kind: str, refs: Sequence[Any], model: type[E], path: NodePath) -> tuple[Use[E], ...]:
        """All entries of an axis; naming one twice is a mistake."""
        uses = [self.use(kind, ref, model, (*path, index)) for index, ref in enumerate(refs)]
        seen: dict[str, Use[E]] = {}
        for use in uses:
            if use is not None and use.entry.name in seen:
                self.complain(use.path, f"{use.entry.name!r} is named twice")
            elif use is not None:
                seen[use.entry.name] = use
        return tuple(seen.values())

    def _whole(self, entry: E, document: Document, at: NodePath) -> E:
        """The entry with the names inside it resolved too."""
        if isinstance(entry, Corpus):
            uses = [
                self.use("tasks", ref, Task, (*at, "exclude", index), document)
                for index, ref in enumerate(entry.exclude)
            ]
            return _with(entry, exclude=tuple(use.entry for use in uses if use))
        if isinstance(entry, Teacher) and isinstance(entry.trim_vocabulary, (str, Corpus)):
            if entry.trim_vocabulary == "corpus":
                return entry  # the spec's own, known per language set
            corpus = self.use("corpora", entry.trim_vocabulary, Corpus, (*at, "trim_vocabulary"), document)
            return _with(entry, trim_vocabulary=corpus.entry) if corpus else entry
        if isinstance(entry, Student) and entry.ffn is None:
            return _with(entry, ffn=4 * entry.width)  # written out, so that both spellings are one student
        return entry

    def corpus(self, spec: Spec, languages: LanguageSet) -> Use[Corpus] | None:
        """The corpus of a language set, cut to its languages."""
        ref, path = self._by_set(spec.corpus, languages, ("corpus",))
        if ref is None:
            return None
        use = self.use("corpora", ref, Corpus, path)
        if use is None:
            return None
        corpus = use.entry
        lacking = [code for code in languages.codes if code not in corpus.languages]
        if lacking:
            self.complain(
                languages.path,
                f"the corpus {corpus.name!r} has no text in {', '.join(lacking)}; "
                f"it has {', '.join(corpus.languages)}",
            )
            return None
        texts = tuple(text for text in corpus.texts if text.language in languages.codes)
        named = {task if isinstance(task, str) else task.name for task in corpus.exclude}
        more = tuple(task for task in self.excluded if task.name not in named)
        return Use(_with(corpus, texts=texts, exclude=(*corpus.exclude, *more)), use.path, use.document)

    def _by_set(self, ref: Any, languages: LanguageSet, path: NodePath) -> tuple[Any, NodePath]:
        """The value for this language set of a field that may be given per set, and its path."""
        if not isinstance(ref, dict):
            return ref, path
        if languages.name not in ref:
            self.complain(
                path,
                f"nothing for the language set {languages.name!r}; {did_you_mean(languages.name, list(ref))}",
            )
            return None, path
        return ref[languages.name], (*path, languages.name)

    def teachers(
        self, spec: Spec, languages: LanguageSet, corpus: Use[Corpus] | None
    ) -> tuple[TeacherChoice, ...]:
        """The points of the teacher axis for a language set."""
        base: Use[Teacher] | None = None
        choices: list[TeacherChoice] = []
        if spec.teacher is not None:
            ref, path = self._by_set(spec.teacher, languages, ("teacher",))
            if isinstance(ref, Assistant):
                self.complain(
                    path,
                    "an assistant needs a teacher: name that here and put the assistant under `grid.teacher`",
                )
            elif ref is not None:
                base = self._teacher(ref, path, corpus)
                if base is not None and spec.grid.teacher is None:
                    return (TeacherChoice(base, None, path),)
        for index, one in enumerate(spec.grid.teacher or ()):
            path = ("grid", "teacher", index)
            if not isinstance(one, Assistant):
                root = self._teacher(one, path, corpus)
                choices += [TeacherChoice(root, None, path)] if root else []
                continue
            if spec.teacher is None:
                self.complain(
                    path,
                    f"the assistant {one.name!r} needs a teacher of its own: "
                    "name it as the spec's `teacher:`",
                )
            method = self.use("methods", one.method, Method, (*path, "method"))
            student = self.use("students", one.student, Student, (*path, "student"))
            if base and method and student:
                choices.append(
                    TeacherChoice(base, ResolvedAssistant(one.name, method, student, one.seed), path)
                )
        names = [choice.name for choice in choices]
        for choice in choices:
            if names.count(choice.name) > 1:
                self.complain(choice.path, f"the teacher {choice.name!r} is named twice")
        return tuple(choices)

    def _teacher(self, ref: str | Teacher, path: NodePath, corpus: Use[Corpus] | None) -> Use[Teacher] | None:
        use = self.use("teachers", ref, Teacher, path)
        if use and corpus and use.entry.trim_vocabulary == "corpus":
            return Use(_with(use.entry, trim_vocabulary=corpus.entry), use.path, use.document)
        return use

    def tasks(self, spec: Spec) -> Iterator[ResolvedTask]:
        """The tasks with their settings."""
        seen: set[str] = set()
        for index, one in enumerate(spec.tasks):
            path: NodePath = ("tasks", index)
            at = path if isinstance(one, str) else (*path, "task")
            wanted = TaskUse(task=one) if isinstance(one, str) else one
            use = self.use("tasks", wanted.task, Task, at)
            if use is None:
                continue
            task = use.entry
            if task.name in seen:
                self.complain(at, f"the task {task.name!r} is named twice")
            seen.add(task.name)
            if isinstance(wanted.languages, tuple):
                unknown = [code for code in wanted.languages if code not in task.languages]
                if unknown or not wanted.languages:
                    self.complain(
                        (*path, "languages"),
                        f"the task {task.name!r} has no {', '.join(unknown) or 'languages chosen'}; "
                        f"it has {', '.join(task.languages)}",
                    )
                    continue
            own = {key: value for key, value in wanted.finetune if value is not None}
            finetune = _with(spec.finetune, **own)
            yield ResolvedTask(task, wanted.languages, finetune, path, wanted.optional)


M = TypeVar("M", bound=BaseModel)


def _with(model: M, **changes: Any) -> M:
    return model.model_copy(update=changes)


def check_entry(document: Document, model: type[E], kind: str, catalog: Catalog) -> E:
    """The catalog entry that a whole document declares, with the names inside it resolved; SpecError where it is wrong."""
    entry = validate(document, model)
    resolver = _Resolver(document, catalog)
    use = resolver.use(kind, entry, model, ())
    resolver.raise_mistakes()
    assert use is not None  # without mistakes there is one
    return use.entry
