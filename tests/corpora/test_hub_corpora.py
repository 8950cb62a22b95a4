"""Text in hub layout is read as the hub's own loader reads it, and no further than a budget goes."""

from __future__ import annotations

from pathlib import Path

import datasets
import pandas as pd
import pytest
from samples import _yaml

from harness.assets.fetch import fetch
from harness.assets.sources import Sources
from harness.corpora.blocks import build_blocks
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader
from harness.files import text_hash
from harness.spec.entries import Corpus

from .test_stream import word_tokenizer

NAMES = [f"train-0000{n}-of-00003.parquet" for n in range(3)]


@pytest.fixture
def local(tmp_path: Path) -> Sources:
    """A data folder with three files of Swahili Wikipedia, 2,000 articles each."""
    folder = tmp_path / "data" / "wikimedia" / "wikipedia" / "20231101.sw"
    folder.mkdir(parents=True)
    for part, name in enumerate(NAMES):
        articles = [f"Makala ya {part} na {n} kuhusu mto." for n in range(2_000)]
        pd.DataFrame({"id": range(2_000), "text": articles}).to_parquet(folder / name)
    return Sources(tmp_path / "cache", data_dir=tmp_path / "data", offline=True)


def swahili(**changes: object) -> Corpus:
    """The shipped Wikipedia corpus, cut to one language and without tasks to look up."""
    corpus = Corpus.model_validate({**_yaml("corpora", "wikipedia-xnli15"), "exclude": []})
    texts = tuple(text for text in corpus.texts if text.language == "sw")
    return corpus.model_copy(update={"texts": texts, **changes})


def test_the_reader_agrees_with_streaming_load_dataset(local: Sources) -> None:
    corpus = swahili(tokens_per_language=None)
    ours = list(CorpusReader(corpus, local).documents("sw", CleaningCounts()))
    files = [str(path) for path in fetch(corpus.texts[0].asset, local).matching("*")]
    theirs = datasets.load_dataset("parquet", data_files={"train": files}, split="train", streaming=True)
    assert ours == [row["text"] for row in theirs]
    assert len(ours) == 6_000


def test_what_lies_beyond_the_budget_is_never_read(local: Sources, tmp_path: Path) -> None:
    order = sorted(NAMES, key=text_hash)
    last = tmp_path / "data" / "wikimedia" / "wikipedia" / "20231101.sw" / order[-1]
    last.write_bytes(b"no parquet")
    made = build_blocks(swahili(tokens_per_language=2_000), word_tokenizer(), "words", 16, local)
    assert 2_000 <= made.languages["sw"].tokens < 2_020
    with pytest.raises(Exception, match=r"Parquet"):
        build_blocks(swahili(tokens_per_language=None), word_tokenizer(), "words", 16, local)
