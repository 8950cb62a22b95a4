"""Whether the data of a spec that is on this machine is whole; problems are reported at the line that names the data,
before any training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from harness.assets.asset import Asset
from harness.assets.fetch import fetch
from harness.assets.folder import AssetFolder
from harness.assets.sources import Sources
from harness.base import digest
from harness.errors import AssetError, InputError
from harness.files import write_atomically
from harness.formats.documents import documents_of
from harness.formats.opened import require_whole_parquet
from harness.formats.rows import check_rows_file
from harness.records.trial import Kind
from harness.spec.checks import teacher_shape
from harness.spec.entries import CatalogEntry, Corpus, Task, Teacher
from harness.spec.resolve import ResolvedSpec
from harness.spec.yaml.source import Complaint, refuse
from harness.tasks.layout import as_laid_out, columns_by_role, languages_of, layout_of, pattern_of

SMALL = 100_000_000
"""Size of files in bytes up to which they are read unasked."""
CHECK_VERSION = 2
"""Raised when a change of code changes what is rejected."""

Folders = Mapping[Asset, AssetFolder]


def check_files(resolved: ResolvedSpec, sources: Sources, rows: bool) -> None:
    """SpecError with one line for each task and corpus whose files are damaged or do not match their declaration.

    `rows`: read tasks as their trials would, labels included; else check only whether their files are whole. Data that
    is not on this machine, or too large to be read unasked, is left to `harness run`.
    """
    here = dataclasses.replace(sources, offline=True)
    complaints = [
        Complaint(resolved.mark(path), message)
        for path, message in (*_tasks(resolved, here, rows), *_corpora(resolved, here))
    ]
    if complaints:
        raise refuse(complaints)


def _tasks(
    resolved: ResolvedSpec, sources: Sources, rows: bool
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for task_use in resolved.tasks:
        codes = {code for languages in resolved.languages for code in task_use.evaluated(languages.codes)}
        languages = tuple(sorted(codes))
        message = task_problem(task_use.task, languages, sources, rows)
        if message is not None:
            yield task_use.path, message


def _corpora(resolved: ResolvedSpec, sources: Sources) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for use in {id(use): use for use in resolved.corpora.values()}.values():
        message = corpus_problem(use.entry, sources)
        if message is not None:
            yield use.path, message


def require_cores(resolved: ResolvedSpec, kinds: Iterable[Kind], cores: int) -> None:
    """SpecError if a kind of trial asks for more than the `cores` of this machine that may be used."""
    complaints = [
        Complaint(
            resolved.mark(("resources", kind, "cpus")),
            f"a {kind} trial asks for {asked} CPU cores, of which {cores} may be used here; "
            f"set resources.{kind}.cpus to at most {cores}, or join a cluster with --address",
        )
        for kind in sorted(set(kinds))
        if (asked := getattr(resolved.spec.resources, kind).cpus) > cores
    ]
    if complaints:
        raise refuse(complaints)


def entry_problem(entry: CatalogEntry, sources: Sources) -> str | None:
    """What is wrong with the files of a catalog entry that are on this machine; None if nothing is."""
    here = dataclasses.replace(sources, offline=True)
    match entry:
        case Task():
            return task_problem(entry, entry.languages, here, rows=False)
        case Corpus():
            return corpus_problem(entry, here)
        case Teacher():
            try:
                teacher_shape(entry, lambda asset: _folder_here(asset, here))
            except InputError as error:
                return str(error)
    return None


def _folder_here(asset: Asset, sources: Sources) -> Path | None:
    try:
        return fetch(asset, sources).path
    except AssetError:
        return None


def task_problem(task: Task, languages: tuple[str, ...], sources: Sources, rows: bool) -> str | None:
    """What is wrong with a task's files in these languages; None if nothing is, or they are not at hand."""
    folders = _folders(task.assets.values(), sources)
    if folders is None:
        return None

    def check() -> None:
        if rows:
            from harness.tasks.task_data import check_rows

            check_rows(task, languages, sources)
        else:
            _check_task_files(task, languages, folders)

    return _problem(["task", task, languages, rows, _content(folders)], check, sources)


def shared_rows(tasks: Iterable[Task], sources: Sources) -> list[str]:
    """One sentence for each task at hand that is scored on rows it trains on."""
    here = dataclasses.replace(sources, offline=True)
    sentences = (_shared_rows(task, here) for task in tasks if "train" in task.splits)
    return [sentence for sentence in sentences if sentence]


def _shared_rows(task: Task, sources: Sources) -> str:
    folders = _folders(task.assets.values(), sources)
    if folders is None:
        return ""
    key = digest([CHECK_VERSION, "shared", task.name, task, _content(folders)], 32)
    memory = sources.cache_dir / "checked" / key
    if memory.is_file():
        return memory.read_text("utf-8")
    from harness.tasks.shared_rows import counted_shared
    from harness.tasks.task_data import load_task

    data = load_task(task, task.languages, sources)
    counts = counted_shared(data.frames, data.data_ids, sources.cache_dir)
    parts = [
        f"{count:,} of {len(data.frames[split, code]):,} {split} rows ({code})"
        for (split, code), count in counts.items()
    ]
    which = ", ".join(parts)
    sentence = f"Task {task.name} trains on rows that it is scored on: {which}; such scores carry a flag."
    write_atomically(memory, sentence if parts else "")
    return sentence if parts else ""


def corpus_problem(corpus: Corpus, sources: Sources) -> str | None:
    """What is wrong with a corpus's files; None if nothing is, or they are streamed or not at hand."""
    folders = None if corpus.streaming else _folders([text.asset for text in corpus.texts], sources)
    if folders is None:
        return None
    return _problem(
        ["corpus", corpus.texts, _content(folders)], lambda: _check_texts(corpus, folders), sources
    )


def _folders(assets: Iterable[Asset], sources: Sources) -> Folders | None:
    """Folders of the assets; None if one is not on this machine, or together they are large."""
    try:
        folders = {asset: fetch(asset, sources) for asset in assets}
    except AssetError:
        return None
    files = (folder.path / name for folder in folders.values() for name in folder.files)
    return folders if sum(path.stat().st_size for path in files) <= SMALL else None


def _content(folders: Folders) -> list[str]:
    return sorted(folder.sha256 for folder in folders.values())


def _problem(question: list[object], check: Callable[[], None], sources: Sources) -> str | None:
    """The message of the error that `check` raises, or None; success is cached for the same content."""
    memory = sources.cache_dir / "checked" / digest([CHECK_VERSION, question], 32)
    if memory.is_file():
        return None
    try:
        check()
    except InputError as error:
        return str(error)
    write_atomically(memory, "")
    return None


def _check_task_files(task: Task, languages: tuple[str, ...], folders: Folders) -> None:
    for name, split in task.splits.items():
        laid_out = as_laid_out(task, split)
        folder = folders[task.assets[split.asset]]
        for language in languages_of(task, name, languages):
            paths = folder.matching(pattern_of(split, language))
            where = f"task {task.name}, split {name} ({language})"
            counts = [_rows(path, laid_out, where) for path in paths]
            if counts and not any(count is None or count for count in counts):
                raise InputError(f"{where}: no rows: {', '.join(path.name for path in paths)} is empty")


def _rows(path: Path, task: Task, where: str) -> int | None:
    try:
        return check_rows_file(path, layout_of(task), tuple(columns_by_role(task).values()))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_texts(corpus: Corpus, folders: Folders) -> None:
    for language in corpus.languages:
        texts = [text for text in corpus.texts if text.language == language]
        has_text = False
        for text in texts:
            for path in folders[text.asset].matching(text.files):
                if text.reader == "parquet":
                    require_whole_parquet(path)
                    has_text = True
                else:
                    has_text |= sum(1 for _ in documents_of(path, text.reader, text.field)) > 0
        if not has_text:
            raise InputError(f"corpus {corpus.name}: there is no text in {language!r}")
