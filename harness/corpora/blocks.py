"""Token blocks on disk: a corpus tokenised once and packed without padding, `[CLS] text [SEP] text … [SEP]`.

blocks = build_blocks(corpus, tokenizer, tokenizer_sha256, 128, sources)
batch = BatchStream(blocks, recipe, seed).at(step)    # harness.corpora.stream
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.assets.sources import Sources
from harness.base import digest
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader, LanguageText, summarise
from harness.errors import InputError
from harness.files import text_fraction
from harness.records.reading import VERSIONS
from harness.spec.entries import Corpus

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MANIFEST = "manifest.json"
_PIECE = 512
"""Documents per call of the tokenizer."""


@dataclass(frozen=True)
class Vocabulary:
    """What the stream needs to know about a tokenizer."""

    size: int
    """Highest id + 1; the number of pieces, special ones included, if no id is left out."""
    cls: int
    sep: int
    mask: int
    special: tuple[int, ...]
    """Ids that are never corrupted and never drawn, ascending: special pieces, and ids below `size` without a piece."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """From a transformers tokenizer; InputError if it lacks a token that masked-LM training needs."""
        needed = {name: getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "mask")}
        missing = [name for name, number in needed.items() if number is None]
        if missing:
            raise InputError(
                f"the tokenizer has no {' and no '.join(missing)} token; masked-LM training needs one"
            )
        ids = set(tokenizer.get_vocab().values())
        size = max(ids) + 1
        unused = set(range(size)) - ids
        return cls(size, **needed, special=tuple(sorted({*tokenizer.all_special_ids, *unused})))


@dataclass(frozen=True)
class LanguageBlocks:
    """One language of the token blocks."""

    text: LanguageText
    tokens: int
    """Tokens of the training share, without separators."""
    blocks: int
    """Training blocks."""
    held_out_tokens: int
    held_out_blocks: int


@dataclass(frozen=True)
class TokenBlocks:
    """A tokenised corpus, memory-mapped."""

    path: Path
    length: int
    """Tokens per block, special tokens included."""
    alpha: float
    """Exponent of language sampling."""
    vocabulary: Vocabulary
    languages: Mapping[str, LanguageBlocks]
    """ISO code -> language, in alphabetical order."""
    sha256: str
    """Identity of the corpus, the tokenizer and the length."""

    def training(self, language: str) -> NDArray[Any]:
        """(blocks, length) token ids, memory-mapped, read-only."""
        return self._open(_files_of(language)[0])

    def held_out_blocks(self, language: str) -> NDArray[Any]:
        """(blocks, length) token ids of the held-out documents, memory-mapped, read-only."""
        return self._open(_files_of(language)[1])

    def pieces(self) -> set[int]:
        """Every token id in any block."""
        used: set[int] = set()
        for language in self.languages:
            for blocks in (self.training(language), self.held_out_blocks(language)):
                used.update(np.unique(blocks).tolist())
        return used

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags that results on this text carry: `thin_language:<code>` if a language has less than the corpus's floor."""
        return tuple(f"thin_language:{code}" for code, entry in self.languages.items() if entry.text.thin)

    def _open(self, name: str) -> NDArray[Any]:
        path, kind = self.path / name, _dtype(self.vocabulary.size)
        if path.stat().st_size == 0:
            return np.zeros((0, self.length), dtype=kind)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):  # blocks are drawn from anywhere: no reading ahead
            mapped.madvise(mmap.MADV_RANDOM)
        return np.frombuffer(mapped, dtype=kind).reshape(-1, self.length)


def build_blocks(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    tokenizer_sha256: str,
    length: int,
    sources: Sources,
) -> TokenBlocks:
    """The corpus as token blocks: from the cache, or read, cleaned, tokenised and packed now, as a stream. After an
    interruption, finished languages are reused.

    `tokenizer_sha256` identifies the tokenizer. Raises AssetError if text is not available or was replaced since the
    plan, InputError if a language has too little text to fill one block.
    """
    reader = CorpusReader(corpus, sources)
    vocabulary = Vocabulary.of(tokenizer)
    sha256 = digest([VERSIONS["packing"], reader.identity, tokenizer_sha256, asdict(vocabulary), length], 32)
    final = sources.cache_dir / "blocks" / sha256
    if not (final / _MANIFEST).is_file():
        builder = _BlocksBuilder(reader, tokenizer, vocabulary, length, final.with_suffix(".part"))
        with _one_at_a_time(final):
            if not (final / _MANIFEST).is_file():
                for language in corpus.languages:
                    builder.keep(language)
                builder.assemble(final)
    manifest = json.loads((final / _MANIFEST).read_text("utf-8"))
    languages = {
        name: LanguageBlocks(**{**entry, "text": LanguageText(**entry["text"])})
        for name, entry in manifest.items()
    }
    return TokenBlocks(final, length, corpus.alpha, vocabulary, languages, sha256)


@dataclass
class _BlocksBuilder:
    """Writes the blocks of one language after another."""

    reader: CorpusReader
    tokenizer: PreTrainedTokenizerBase
    vocabulary: Vocabulary
    length: int
    finished: Path
    """Folder of finished languages, until all are finished."""

    def keep(self, language: str) -> None:
        """Build a language unless it exists; atomic."""
        final = self.finished / language
        if (final / _MANIFEST).is_file():
            return
        self.finished.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.finished.parent, prefix=".new-") as scratch:
            folder = Path(scratch) / language
            folder.mkdir()
            with self.reader.unchanged():
                blocks = self.build(language, folder)
            (folder / _MANIFEST).write_text(json.dumps(asdict(blocks), indent=1), "utf-8")
            _give_place(folder, final)

    def assemble(self, final: Path) -> None:
        """Collect all languages in one folder, then rename it into place."""
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".new-") as scratch:
            folder = Path(scratch) / "blocks"
            folder.mkdir()
            manifest = {}
            try:
                for language in self.reader.corpus.languages:
                    manifest[language] = json.loads((self.finished / language / _MANIFEST).read_text("utf-8"))
                    for name in _files_of(language):
                        _link(self.finished / language / name, folder / name)
                (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
                _give_place(folder, final)
            except FileNotFoundError:
                if not (final / _MANIFEST).is_file():
                    raise  # not the other process that assembled the same blocks: a real failure
        shutil.rmtree(self.finished, ignore_errors=True)

    def build(self, language: str, folder: Path) -> LanguageBlocks:
        """Write a language's blocks into `folder`."""
        corpus, counts = self.reader.corpus, CleaningCounts()
        train_name, held_name = _files_of(language)
        with (folder / train_name).open("wb") as train_file, (folder / held_name).open("wb") as held_file:
            train = _Packer(train_file, self.vocabulary, self.length)
            held = _Packer(held_file, self.vocabulary, self.length)
            for document, ids in self._tokenised(self.reader.documents(language, counts)):
                kept_out = text_fraction("held_out", document) < corpus.held_out
                (held if kept_out else train).add(ids)
                if corpus.tokens_per_language is not None and train.tokens >= corpus.tokens_per_language:
                    break
        if train.blocks == 0:
            raise InputError(
                f"corpus {corpus.name}: the text in {language!r} fills no block of {self.length} tokens "
                f"({counts.characters:,} characters, {train.tokens:,} tokens)"
            )
        return LanguageBlocks(summarise(counts, corpus), train.tokens, train.blocks, held.tokens, held.blocks)

    def _tokenised(self, documents: Iterable[str]) -> Iterator[tuple[str, list[int]]]:
        stream = iter(documents)
        while piece := list(islice(stream, _PIECE)):
            encoded = self.tokenizer(
                piece,
                add_special_tokens=False,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            yield from zip(piece, encoded["input_ids"], strict=True)


class _Packer:
    """Joins documents with [SEP] and cuts the token stream into blocks; a remainder shorter than a block is dropped."""

    def __init__(self, file: BinaryIO, vocabulary: Vocabulary, length: int) -> None:
        self._file = file
        self._vocabulary = vocabulary
        self._room = length - 2
        self._dtype = _dtype(vocabulary.size)
        self._buffer: list[int] = []
        self.tokens = 0
        self.blocks = 0

    def add(self, ids: list[int]) -> None:
        """Append one document (token ids)."""
        self.tokens += len(ids)
        if self._buffer:
            self._buffer.append(self._vocabulary.sep)
        self._buffer.extend(ids)
        whole = len(self._buffer) // self._room
        if whole:
            text = np.asarray(self._buffer[: whole * self._room], dtype=self._dtype).reshape(
                whole, self._room
            )
            block = np.empty((whole, self._room + 2), dtype=self._dtype)
            block[:, 0], block[:, 1:-1], block[:, -1] = self._vocabulary.cls, text, self._vocabulary.sep
            block.tofile(self._file)
            del self._buffer[: whole * self._room]
            self.blocks += whole


@contextmanager
def _one_at_a_time(final: Path) -> Iterator[None]:
    """Lock: other processes that need the same blocks wait, then find them finished."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with final.with_name(f".{final.name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel drops it when the process dies
        yield


def _files_of(language: str) -> tuple[str, str]:
    """File names of a language's training and held-out blocks."""
    return f"{language}.train.bin", f"{language}.held_out.bin"


def _link(file: Path, name: Path) -> None:
    """Hard-link a file; copy it where the file system has no hard links."""
    try:
        os.link(file, name)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(file, name)


def _give_place(folder: Path, final: Path) -> None:
    """Rename into place; if another process was first, its identical copy stays."""
    try:
        os.rename(folder, final)
    except OSError:
        if not (final / _MANIFEST).is_file():
            raise


def _dtype(vocabulary: int) -> type[np.uint16] | type[np.uint32]:
    """uint16 where the vocabulary fits, else uint32."""
    return np.uint16 if vocabulary <= 2**16 else np.uint32
