"""A trimmed teacher is the same teacher on the text it was trimmed for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from harness.errors import InputError
from harness.models.export import export_model
from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder
from harness.models.vocabulary import trim_vocabulary

from .tiny import SPECIALS, tiny_model

LETTERS = "abcdefgh"
TEXTS = ["abc abd", "cab", "deaf abc"]


def unigram() -> Tokenizer:
    pieces = [(token, 0.0) for token in SPECIALS.values()] + [("▁", -3.0)]
    pieces += [(letter, -6.0) for letter in LETTERS]
    pieces += [
        ("▁ab", -4.0),
        ("ab", -4.5),
        ("abc", -5.0),
        ("▁cab", -4.0),
        ("de", -5.0),
        ("gh", -5.0),
        ("hg", -5.0),
    ]
    backend = Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend


def word_piece() -> Tokenizer:
    pieces = [*SPECIALS.values(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pieces += ["ab", "##bc", "##d", "cab", "de", "##af", "gh", "##gh"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return backend


def byte_pairs() -> Tokenizer:
    """Merges of bytes, as ModernBERT's; `abc` is made of `ab`, which no text is left with."""
    pieces = [*SPECIALS.values(), *pre_tokenizers.ByteLevel.alphabet()]
    merges = [
        ("a", "b"),
        ("ab", "c"),
        ("Ġ", "a"),
        ("Ġ", "abc"),
        ("c", "a"),
        ("ca", "b"),
        ("d", "e"),
        ("g", "h"),
        ("h", "g"),
    ]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return backend


def teacher(backend: Tokenizer, model_type: str) -> LoadedModel:
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIALS)
    model = tiny_model(model_type, vocabulary=max(40, len(tokenizer)))
    from harness.shapes import shape_of_config

    return LoadedModel(model, tokenizer, shape_of_config(model.config.to_dict(), "tiny", True), "0" * 64)


def used(loaded: LoadedModel) -> set[int]:
    return {token for text in TEXTS for token in loaded.tokenizer(text)["input_ids"]}


@pytest.mark.parametrize("backend", [unigram, word_piece, byte_pairs])
def test_text_of_the_corpus_is_read_as_before_and_means_the_same(backend, model_type: str) -> None:
    whole = teacher(backend(), model_type)
    trimmed = trim_vocabulary(whole, used(whole))
    assert trimmed.shape.vocabulary == len(trimmed.tokenizer) < len(whole.tokenizer)
    assert trimmed.model.config.vocab_size == trimmed.shape.vocabulary
    for text in TEXTS:
        assert trimmed.tokenizer.tokenize(text) == whole.tokenizer.tokenize(text)
        old, new = (side.tokenizer(text, "abc", return_tensors="pt") for side in (whole, trimmed))
        states = [
            side.model.base_model(**{k: v for k, v in x.items() if k != "token_type_ids"}).last_hidden_state
            for side, x in ((whole, old), (trimmed, new))
        ]
        assert torch.equal(*states)
    logits = trimmed.model(new["input_ids"]).logits
    kept = whole.tokenizer.convert_tokens_to_ids(
        trimmed.tokenizer.convert_ids_to_tokens(list(range(len(trimmed.tokenizer))))
    )
    torch.testing.assert_close(logits, whole.model(old["input_ids"]).logits[..., kept])


@pytest.mark.parametrize("backend", [unigram, word_piece])
def test_words_the_corpus_lacks_fall_apart_into_characters_not_into_unknown(backend) -> None:
    whole = teacher(backend(), "bert")
    trimmed = trim_vocabulary(whole, used(whole))
    assert "gh" in "".join(whole.tokenizer.tokenize("gh"))
    pieces = trimmed.tokenizer.tokenize("ghagh")
    assert "".join(piece.removeprefix("##").removeprefix("▁") for piece in pieces) == "ghagh"
    assert "<unk>" not in pieces


def test_a_trimmed_teacher_is_a_new_teacher_and_the_same_one_every_time(tmp_path: Path) -> None:
    whole = teacher(unigram(), "xlm-roberta")
    first, second = (trim_vocabulary(whole, sorted(used(whole), reverse=turn)) for turn in (True, False))
    assert first.sha256 == second.sha256 != whole.sha256
    assert trim_vocabulary(whole, [5]).sha256 != first.sha256
    export_model(first.model, first.tokenizer, tmp_path / "m", mlm_head=True, card="")
    again = load_folder(tmp_path / "m")
    assert again.tokenizer("deaf cab")["input_ids"] == first.tokenizer("deaf cab")["input_ids"]
    assert again.tokenizer.mask_token_id == first.tokenizer.mask_token_id


def test_what_cannot_be_trimmed_is_refused() -> None:
    whole = teacher(unigram(), "bert")
    with pytest.raises(InputError, match="99 is not the id of a piece"):
        trim_vocabulary(whole, [99])
    vocabulary = {token: i for i, token in enumerate(SPECIALS.values())}
    for model, kind in (
        (models.WordLevel(vocabulary, unk_token="<unk>"), "WordLevel tokenizers"),
        (
            models.BPE(vocabulary, [], end_of_word_suffix="</w>"),
            "BPE tokenizers that mark words in their pieces",
        ),
    ):
        with pytest.raises(
            InputError, match=f"{kind} cannot be trimmed; WordPiece, Unigram and byte-level BPE"
        ):
            trim_vocabulary(teacher(Tokenizer(model), "roberta"), [0])


def test_a_piece_stays_with_the_pieces_that_it_is_merged_from() -> None:
    whole = teacher(byte_pairs(), "bert")
    trimmed = trim_vocabulary(whole, whole.tokenizer("abc")["input_ids"])
    kept = trimmed.tokenizer.get_vocab()
    assert {"ab", "abc"} <= kept.keys()  # `ab` stands in no text, `abc` is made of it
    assert not {"ca", "cab", "gh", "hg"} & kept.keys()
    assert trimmed.tokenizer.tokenize("abc") == ["abc"]
    assert trimmed.tokenizer.tokenize("gh é") == ["g", "h", "Ġ", "Ã", "©"]
