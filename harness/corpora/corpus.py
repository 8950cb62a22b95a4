"""A corpus as cleaned documents: the text of its files by language, and the counts that a plan shows."""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from harness.assets.asset import Asset
from harness.assets.fetch import fetch
from harness.assets.folder import AssetFolder
from harness.assets.remote import RemoteFolder, open_folder
from harness.assets.sources import Sources
from harness.base import digest
from harness.corpora.cleaning import CleaningCounts, Hashes, clean, hashes_of
from harness.corpora.streamed import streamed
from harness.errors import InputError
from harness.files import text_hash, write_atomically
from harness.formats.documents import documents_of
from harness.records.reading import VERSIONS, raised
from harness.registry import did_you_mean
from harness.spec.entries import Corpus, CorpusText, Task
from harness.tasks.task_data import evaluation_sentences


@dataclass(frozen=True)
class LanguageText:
    """Counts of one language of a corpus after cleaning."""

    documents: int
    sentences: int
    characters: int
    duplicates: int
    """Repeated sentences that were dropped."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Task -> sentences dropped because its dev or test split holds them."""
    overlap: Mapping[str, int] = field(default_factory=dict)
    """Task -> sentences kept although its dev or test split holds them."""
    thin: bool = False
    """Fewer characters than the corpus's floor."""


class CorpusReader:
    """The cleaned documents of a corpus. Fetches its assets unless they are streamed, and the tasks whose sentences it
    excludes, but nothing of which the plan says what it holds before a document is asked for."""

    def __init__(self, corpus: Corpus, sources: Sources, watched: tuple[Task, ...] = ()) -> None:
        self.corpus = corpus
        self._sources = sources
        self._watched = watched
        self._folders: dict[Asset, AssetFolder | RemoteFolder] = {}
        for text in corpus.texts:
            if self._planned(text.asset) is None:
                self._folder(text.asset)

    @property
    def identity(self) -> str:
        """Hash of everything that determines the documents: files, readers, excluded tasks, version of the cleaning."""
        tasks = [self._evaluated(task) for task in self._excluded()]
        files = [self._planned(text.asset) or self._folder(text.asset).sha256 for text in self.corpus.texts]
        return digest([VERSIONS["cleaning"], self.corpus, files, tasks], 32)

    @property
    def watched_identity(self) -> str:
        """Hash of the watched tasks."""
        return digest([self._evaluated(task) for task in self._watched], 32)

    def documents(self, language: str, counts: CleaningCounts) -> Iterator[str]:
        """One language's documents, in file order; adds to `counts` while they are drawn."""
        if language not in self.corpus.languages:
            known = did_you_mean(language, list(self.corpus.languages))
            raise InputError(f"corpus {self.corpus.name} has no text in {language!r}; {known}")
        excluded = {task.name: self._hashes(task) for task in self._excluded()}
        watched = {task.name: self._hashes(task) for task in self._watched}
        return clean(self._raw_documents(language), excluded, watched, counts)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """While documents are drawn. ChangedInputError, whatever else went wrong, where a file was replaced meanwhile."""
        try:
            yield
        finally:
            for folder in self._folders.values():
                if isinstance(folder, AssetFolder):
                    folder.require_unchanged(self._sources)

    def _raw_documents(self, language: str) -> Iterator[str]:
        for text, file in self._files(language):
            if self.corpus.streaming:
                yield from streamed(file, text.reader, text.field)
            else:
                yield from documents_of(Path(file), text.reader, text.field)

    def _files(self, language: str) -> list[tuple[CorpusText, Path | str]]:
        """Files in the order of the corpus; under a token budget in the order of a hash of their names, as the first
        files of a large collection are not a fair sample of it."""
        files_of_texts: list[tuple[CorpusText, Path | str]] = []
        for text in self.corpus.texts:
            if text.language == language:
                folder = self._folder(text.asset)
                files = folder.matching(text.files)
                if not files:
                    missing = f"the text in {language!r} names the files {text.files!r}"
                    raise InputError(
                        f"corpus {self.corpus.name}: {missing}, which {folder.source} does not have"
                    )
                files_of_texts.extend((text, file) for file in files)
        if self.corpus.tokens_per_language is None:
            return files_of_texts
        return sorted(files_of_texts, key=lambda item: text_hash(PurePosixPath(item[1]).name))

    def _excluded(self) -> tuple[Task, ...]:
        for task in self.corpus.exclude:
            if isinstance(task, str):
                raise InputError(
                    f"corpus {self.corpus.name}: `exclude: {task}` was not looked up in the catalog"
                )
        return tuple(task for task in self.corpus.exclude if isinstance(task, Task))

    def _hashes(self, task: Task) -> Hashes:
        """Hashes of the task's evaluation sentences; computed once, then read from the cache."""
        key = digest([VERSIONS["cleaning"], *self._evaluated(task)], 32)
        memory = self._sources.cache_dir / "evaluated" / f"{key}.npy"
        if not memory.is_file():
            memory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=memory.parent, delete=False) as file:
                np.save(file, hashes_of(evaluation_sentences(task, self._sources)))
            os.replace(file.name, memory)
        return np.asarray(np.load(memory, allow_pickle=False), dtype=np.uint64)

    def _evaluated(self, task: Task) -> list[object]:
        """What determines a task's evaluation sentences: how it is read, its files, and the code that reads them."""
        assets = [task.assets[name] for name in sorted(task.assets)]
        files = [self._planned(asset) or fetch(asset, self._sources).sha256 for asset in assets]
        return [task, files, *raised("rows").items()]

    def _planned(self, asset: Asset) -> str | None:
        """Tree hash of the files that a plan found in a folder, whatever lies there now; else None."""
        planned = self._sources.planned.get(asset)
        return planned.identity if planned and planned.files else None

    def _folder(self, asset: Asset) -> AssetFolder | RemoteFolder:
        """Where a text is read, looked up once."""
        if asset not in self._folders:
            get = open_folder if self.corpus.streaming else fetch
            self._folders[asset] = get(asset, self._sources)
        return self._folders[asset]


def survey(corpus: Corpus, tasks: tuple[Task, ...], sources: Sources) -> dict[str, LanguageText]:
    """Documents, sentences and characters per language and, per task, the evaluated sentences that remain; read once,
    then cached. Fetches missing files."""
    return _survey(CorpusReader(corpus, sources, watched=tasks), sources)


def evaluation_overlap(corpus: Corpus, tasks: tuple[Task, ...], sources: Sources) -> dict[str, int]:
    """Task -> sentences of its dev and test splits that the corpus still contains after `exclude`."""
    by_language = survey(corpus, tasks, sources)
    return {task.name: sum(text.overlap.get(task.name, 0) for text in by_language.values()) for task in tasks}


def summarise(counts: CleaningCounts, corpus: Corpus) -> LanguageText:
    """The counts of one language as a frozen record."""
    return LanguageText(
        documents=counts.documents,
        sentences=counts.sentences,
        characters=counts.characters,
        duplicates=counts.duplicates,
        excluded=dict(counts.excluded),
        overlap=dict(counts.remaining),
        thin=counts.characters < corpus.floor_characters,
    )


def _survey(reader: CorpusReader, sources: Sources) -> dict[str, LanguageText]:
    key = digest([reader.identity, reader.watched_identity, reader.corpus.floor_characters], 32)
    memory = sources.cache_dir / "surveys" / f"{key}.json"
    if memory.is_file():
        return {name: LanguageText(**text) for name, text in json.loads(memory.read_text("utf-8")).items()}
    texts: dict[str, LanguageText] = {}
    for language in reader.corpus.languages:
        counts = CleaningCounts()
        with reader.unchanged():
            deque(reader.documents(language, counts), maxlen=0)
        texts[language] = summarise(counts, reader.corpus)
    write_atomically(memory, json.dumps({name: asdict(text) for name, text in texts.items()}))
    return texts
