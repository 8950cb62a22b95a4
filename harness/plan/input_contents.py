"""Content of every input: the `data` of trials, and the inputs whose content is not known yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.assets.asset import Asset
from harness.base import canonical
from harness.plan.identity import Identify
from harness.records.reading import OF_CORPUS, OF_TASK, raised
from harness.spec.entries import Corpus, CorpusText, Method, Task, Teacher
from harness.spec.initialisation import Initialisation
from harness.spec.normal_forms import evaluated_splits, evaluated_text
from harness.spec.plugins import recipe_versions
from harness.spec.resolve import ResolvedSpec

UNRESOLVED = "unresolved"
"""Stands in a trial's `data` for content that cannot be identified yet; such an id is provisional."""


@dataclass(frozen=True)
class Unresolved:
    """An input whose content is not known yet: it blocks `run`, not `plan`."""

    name: str
    """What it is for, e.g. `teacher roberta-base`."""
    asset: Asset


def inputs_of(resolved: ResolvedSpec) -> dict[str, Asset]:
    """Purpose -> asset, for every asset that a plan of `resolved` may need, so that all can be identified beforehand."""
    inputs = InputContents(lambda asset: None)
    for languages in resolved.languages:
        for choice in resolved.teachers[languages.name]:
            inputs.of(choice.root.entry, resolved.corpora[languages.name].entry)
    for use in resolved.models:
        inputs.of(use.entry)
    for task_use in resolved.tasks:
        inputs.of_task(task_use.task, {})
    pinned = [use.entry.init for use in resolved.methods] + [use.entry.init for use in resolved.students]
    for init in (*pinned, *resolved.spec.grid.init):
        inputs.of(init)
    return inputs.assets


class InputContents:
    """Content of assets, each identified once; the dicts returned are shared between trials and must not be changed."""

    def __init__(self, identify: Identify) -> None:
        self.assets: dict[str, Asset] = {}
        """Purpose -> input, for every input asked for."""
        self._identify = identify
        self._content: dict[int, tuple[Asset, str | None]] = {}  # keeps the asset alive: no id() is reused
        self._shared_contents: dict[tuple[int, ...], tuple[tuple[object, ...], dict[str, str]]] = {}

    def of(self, *parts: Teacher | Corpus | Initialisation | Method | None) -> dict[str, str]:
        """Content of a teacher, a corpus, an initial checkpoint or several of them together, with the versions of the
        code that reads them and of the plugins that they use."""
        return self._shared(parts, {})

    def of_task(self, task: Task, model: dict[str, str]) -> dict[str, str]:
        """Content of a task's data beside that of a model as shipped (`model` is empty where a trial made it)."""
        return self._shared((task,), model)

    def unresolved(self) -> tuple[Unresolved, ...]:
        """Inputs whose content is not known yet."""
        return tuple(
            Unresolved(name, asset) for name, asset in self.assets.items() if self._of(asset) is None
        )

    def _shared(self, parts: tuple[object, ...], base: dict[str, str]) -> dict[str, str]:
        key = (*map(id, parts), id(base) if base else 0)
        if key not in self._shared_contents:
            contents = dict(base)
            for part in parts:
                contents |= self._content_of(part)
                if isinstance(part, Teacher | Corpus | Method | Task):
                    contents |= recipe_versions(part)
            self._shared_contents[key] = ((*parts, base), contents)
        return self._shared_contents[key][1]

    def _content_of(self, part: object) -> Mapping[str, str]:
        match part:
            case Teacher():
                return self._teacher(part)
            case Corpus():
                return self._corpus(part, "corpus")
            case Initialisation() if part.checkpoint is not None:
                return {"init": self._named("initial checkpoint", part.checkpoint)}
            case Task():
                named = {name: f"task {part.name}, {name}" for name in part.assets}
                files = {f"task/{name}": self._named(named[name], part.assets[name]) for name in named}
                return files | raised(*OF_TASK)
        return {}

    def _teacher(self, teacher: Teacher) -> dict[str, str]:
        contents = {"teacher": self._named(f"teacher {teacher.name}", teacher.asset)}
        if teacher.tokenizer is not None:
            contents["tokenizer"] = self._named(f"tokenizer of {teacher.name}", teacher.tokenizer)
        if isinstance(teacher.trim_vocabulary, Corpus):
            contents |= self._corpus(teacher.trim_vocabulary, "vocabulary")
        return contents

    def _corpus(self, corpus: Corpus, role: str) -> dict[str, str]:
        """Content of the texts, by language and in order within each, and of excluded tasks' data."""
        hashes: dict[str, str] = {}
        by_language = sorted(enumerate(corpus.texts), key=_language_of_numbered)
        for number, (given, text) in enumerate(by_language):
            name = f"corpus {corpus.name}, {text.language}, text {given}"
            hashes[f"{role}/{text.language}/{number}"] = self._named(name, text.asset)
        hashes |= raised(*OF_CORPUS, *(("rows",) if corpus.exclude else ()))
        for number, contents in enumerate(sorted(self._excluded(corpus))):
            hashes |= {f"{role}/exclude/{number}/{n}": content for n, content in enumerate(contents[1:])}
        return hashes

    def _excluded(self, corpus: Corpus) -> set[tuple[str, ...]]:
        """What each excluded task removes: how it is read, then the content of the files that hold its evaluated
        splits, independent of the names and order of tasks."""
        texts: set[tuple[str, ...]] = set()
        for task in corpus.exclude:
            assert not isinstance(task, str)  # resolved
            content = {
                name: self._named(f"task {task.name}, {name}", asset) for name, asset in task.assets.items()
            }
            evaluated = {content[split.asset] for split in evaluated_splits(task)}
            texts.add((canonical(evaluated_text(task)), *sorted(evaluated)))
        return texts

    def _named(self, name: str, asset: Asset) -> str:
        self.assets.setdefault(name, asset)
        return self._of(asset) or UNRESOLVED

    def _of(self, asset: Asset) -> str | None:
        if id(asset) not in self._content:
            self._content[id(asset)] = (asset, self._identify(asset))
        return self._content[id(asset)][1]


def _language_of_numbered(numbered: tuple[int, CorpusText]) -> str:
    return numbered[1].language
