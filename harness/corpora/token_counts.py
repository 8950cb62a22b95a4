"""The number of tokens in a corpus under a teacher's tokenizer, before any training. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from harness.assets.sources import Sources
from harness.base import digest
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader
from harness.errors import InputError
from harness.files import FileHashes, text_fraction, write_atomically

SAMPLE = 1_000_000
"""Characters per language that are tokenised to estimate its tokens; of more text, a fixed sample."""
_PIECE = 512


@dataclass(frozen=True)
class TokenCount:
    """Tokens of one language's cleaned text, before a token budget."""

    tokens: int
    exact: bool
    """Counted in full, not estimated from a sample."""


def count_tokens(
    reader: CorpusReader, characters: dict[str, int], tokenizer: Path, sources: Sources
) -> dict[str, TokenCount]:
    """Language -> tokens, by the `tokenizer.json` at hand; counted once, then cached.

    `characters`: the length of each language. Where a language has more than `SAMPLE`, documents are sampled by a hash
    of their text, and their tokens per character are extrapolated.
    """
    sha256 = FileHashes(sources.cache_dir / "hashes").of(tokenizer)
    key = digest([reader.identity, sha256, SAMPLE], 32)
    memory = sources.cache_dir / "surveys" / f"tokens-{key}.json"
    if memory.is_file():
        return {name: TokenCount(**count) for name, count in json.loads(memory.read_text("utf-8")).items()}
    try:
        pieces = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises no class of its own
        raise InputError(f"{tokenizer}: no tokenizer that can be read ({error})") from error
    pieces.no_truncation()
    pieces.no_padding()
    with reader.unchanged():
        counts = {
            language: _count(reader.documents(language, CleaningCounts()), characters[language], pieces)
            for language in reader.corpus.languages
        }
    write_atomically(memory, json.dumps({name: asdict(count) for name, count in counts.items()}))
    return counts


def _count(documents: Iterator[str], characters: int, pieces: Tokenizer) -> TokenCount:
    share = min(1.0, SAMPLE / max(1, characters))
    chosen = (text for text in documents if share == 1 or text_fraction("tokens", text) < share)
    tokens = read = 0
    while piece := list(islice(chosen, _PIECE)):
        encoded = pieces.encode_batch(piece, add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in encoded)
        read += sum(map(len, piece))
    if share == 1 or read == 0:
        return TokenCount(tokens, exact=share == 1)
    return TokenCount(round(tokens * characters / read), exact=False)
