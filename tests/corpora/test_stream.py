"""The input stream is a pure function of blocks, recipe, seed and step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.assets.sources import Sources
from harness.corpora.blocks import TokenBlocks, Vocabulary, build_blocks
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader
from harness.corpora.stream import BatchStream, held_out_batches, sampling_shares
from harness.errors import InputError
from harness.spec.entries import Corpus
from harness.spec.recipes import TokenBatches

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP, MASK = 2, 3, 4
WORDS = [f"w{n}" for n in range(500)]
LENGTH = 16
RECIPE = TokenBatches(batch_size=8, length=LENGTH, mlm_probability=0.15)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    plain = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]")
    )
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


def corpus(folder: Path, documents: dict[str, int], **fields: object) -> Corpus:
    """Languages with so many documents of nine random words each."""
    random = np.random.default_rng(0)
    texts = []
    for language, count in documents.items():
        lines = [" ".join(random.choice(WORDS, 9)) for _ in range(count)]
        (folder / f"{language}.txt").write_text("\n".join(lines))
        texts.append(
            {
                "language": language,
                "asset": {"sources": [{"path": str(folder)}], "include": [f"{language}.txt"]},
            }
        )
    return Corpus.model_validate({"name": "words", "texts": texts, "held_out": 0.1, **fields})


@pytest.fixture
def blocks(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, sources: Sources) -> TokenBlocks:
    return build_blocks(
        corpus(tmp_path, {"de": 300, "en": 3000, "sw": 100}), tokenizer, "words", LENGTH, sources
    )


def test_blocks_have_no_padding_and_begin_and_end_as_the_tokenizer_wants(blocks: TokenBlocks) -> None:
    for language, entry in blocks.languages.items():
        data = blocks.training(language)
        assert data.shape == (entry.blocks, LENGTH)
        assert (data[:, 0] == CLS).all()
        assert (data[:, -1] == SEP).all()
        assert not (data == 0).any()


def test_no_token_is_lost_but_the_last_incomplete_block(blocks: TokenBlocks) -> None:
    for entry in blocks.languages.values():
        assert entry.tokens + entry.held_out_tokens == 9 * entry.text.documents
        separators = entry.tokens // 9 - 1
        assert entry.blocks == (entry.tokens + separators) // (LENGTH - 2)


def test_held_out_documents_are_a_stated_share_and_never_trained_on(blocks: TokenBlocks) -> None:
    entry = blocks.languages["en"]
    assert 0.06 < entry.held_out_tokens / (entry.tokens + entry.held_out_tokens) < 0.14
    train = {tuple(row[1:6]) for row in blocks.training("en")}
    assert not train & {tuple(row[1:6]) for row in blocks.held_out_blocks("en")}


def test_a_step_is_the_same_whenever_and_in_whatever_order_it_is_asked(blocks: TokenBlocks) -> None:
    forward = [BatchStream(blocks, RECIPE, seed=1).at(step) for step in range(12)]
    stream = BatchStream(blocks, RECIPE, seed=1)
    for step in (11, 3, 7, 3):
        for name in ("input_ids", "labels", "attention_mask"):
            assert torch.equal(getattr(stream.at(step), name), getattr(forward[step], name))
    assert not torch.equal(BatchStream(blocks, RECIPE, seed=2).at(3).input_ids, forward[3].input_ids)


def test_blocks_built_again_give_the_same_stream(
    blocks: TokenBlocks, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    again = build_blocks(
        corpus(tmp_path, {"de": 300, "en": 3000, "sw": 100}),
        tokenizer,
        "words",
        LENGTH,
        Sources(tmp_path / "other"),
    )
    assert again.sha256 == blocks.sha256
    assert torch.equal(
        BatchStream(again, RECIPE, 1).at(100).input_ids, BatchStream(blocks, RECIPE, 1).at(100).input_ids
    )


def test_of_several_that_want_the_same_blocks_at_once_one_builds_and_all_have_them(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = corpus(tmp_path, {"de": 600, "en": 600, "sw": 600})
    ready, builders = threading.Barrier(4), set()
    documents = CorpusReader.documents

    def noted(reader: CorpusReader, language: str, counts: CleaningCounts) -> Iterator[str]:
        builders.add(threading.get_ident())
        return documents(reader, language, counts)

    monkeypatch.setattr(CorpusReader, "documents", noted)

    def build(_: int) -> TokenBlocks:
        ready.wait()
        return build_blocks(text, tokenizer, "words", LENGTH, sources)

    with ThreadPoolExecutor(4) as threads:
        built = list(threads.map(build, range(4)))
    assert len(builders) == 1
    assert len({one.sha256 for one in built}) == 1
    first, *others = (BatchStream(one, RECIPE, 1).at(9).input_ids for one in built)
    assert all(torch.equal(one, first) for one in others)


def test_masked_and_clean_streams_read_the_same_blocks(blocks: TokenBlocks) -> None:
    masked, clean = (
        BatchStream(blocks, RECIPE, 1, "masked").at(5),
        BatchStream(blocks, RECIPE, 1, "clean").at(5),
    )
    restored = torch.where(masked.labels == -100, masked.input_ids, masked.labels)
    assert torch.equal(restored, clean.input_ids)
    assert (clean.labels == -100).all()
    assert not clean.padded
    assert clean.attention_mask.all()


def test_corruption_is_fifteen_per_cent_split_80_10_10_and_spares_special_tokens(blocks: TokenBlocks) -> None:
    large = RECIPE.model_copy(update={"batch_size": 4096})
    batch = BatchStream(blocks, large, 1).at(0)
    ids, labels = batch.input_ids, batch.labels
    truth = BatchStream(blocks, large, 1, "clean").at(0).input_ids
    chosen, special = labels != -100, truth < len(SPECIAL)
    assert not (chosen & special).any()
    assert chosen[~special].float().mean().item() == pytest.approx(0.15, abs=0.006)
    masked = (ids == MASK)[chosen].float().mean().item()
    kept = (ids == truth)[chosen].float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1 + 0.1 / len(WORDS), abs=0.015)
    drawn = ids[chosen & (ids != MASK) & (ids != truth)]
    assert (drawn >= len(SPECIAL)).all()
    assert torch.equal(ids[~chosen], truth[~chosen])


def test_every_block_is_seen_once_an_epoch(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, sources: Sources
) -> None:
    blocks = build_blocks(corpus(tmp_path, {"en": 200}), tokenizer, "words", LENGTH, sources)
    count = blocks.languages["en"].blocks
    steps = -(-3 * count // RECIPE.batch_size)
    rows = torch.cat(
        [BatchStream(blocks, RECIPE, 1, "clean").at(step).input_ids for step in range(steps)]
    ).tolist()
    everything = sorted(blocks.training("en").tolist())
    epochs = [rows[n * count : (n + 1) * count] for n in range(3)]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_languages_are_drawn_by_smoothed_shares(blocks: TokenBlocks) -> None:
    tokens = {name: entry.tokens for name, entry in blocks.languages.items()}
    wanted = sampling_shares(tokens, 0.3)
    by_hand = {name: n**0.3 / sum(m**0.3 for m in tokens.values()) for name, n in tokens.items()}
    assert wanted == pytest.approx(by_hand)
    stream = BatchStream(blocks, RECIPE.model_copy(update={"batch_size": 1024}), 1, "clean")
    own = {name: {tuple(row) for row in blocks.training(name).tolist()} for name in tokens}
    rows = [tuple(row) for step in range(4) for row in stream.at(step).input_ids.tolist()]
    for name, share in wanted.items():
        assert sum(row in own[name] for row in rows) / len(rows) == pytest.approx(share, abs=1 / 4096)
    assert stream.shares == pytest.approx(wanted, abs=1 / 4096)


def test_held_out_batches_are_corrupted_once_and_for_all(blocks: TokenBlocks) -> None:
    batches = held_out_batches(blocks, RECIPE, max_blocks=40)
    assert sum(batch.examples for batch in batches) <= 40 + len(blocks.languages)
    again = held_out_batches(blocks, RECIPE, max_blocks=40)
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in zip(batches, again, strict=True))
    assert sum(int(batch.masked_positions.sum()) for batch in batches) > 0
    german = held_out_batches(blocks, RECIPE, language="de")
    assert sum(batch.examples for batch in german) == blocks.languages["de"].held_out_blocks


def test_a_token_budget_ends_a_language(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, sources: Sources
) -> None:
    small = corpus(tmp_path, {"en": 3000}, tokens_per_language=900)
    entry = build_blocks(small, tokenizer, "words", LENGTH, sources).languages["en"]
    assert 900 <= entry.tokens < 920


def test_a_thin_language_is_marked_and_one_without_a_block_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, sources: Sources
) -> None:
    mixed = corpus(tmp_path, {"en": 3000, "sw": 30}, floor_characters=10_000)
    built = build_blocks(mixed, tokenizer, "words", LENGTH, sources)
    assert {name: entry.text.thin for name, entry in built.languages.items()} == {"en": False, "sw": True}
    with pytest.raises(InputError, match=r"the text in 'sw' fills no block of 512 tokens"):
        build_blocks(mixed, tokenizer, "words", 512, sources)


def test_a_recipe_of_another_length_is_refused(blocks: TokenBlocks) -> None:
    with pytest.raises(InputError, match="needs blocks of 32 tokens; these have 16"):
        BatchStream(blocks, TokenBatches(length=32), 1)


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    plain = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    with pytest.raises(InputError, match="has no cls and no sep and no mask token"):
        Vocabulary.of(PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]"))
