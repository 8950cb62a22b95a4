"""Tagged words: files of every form read alike, mistakes named with file and row, words found again in tokens."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.assets.sources import Sources
from harness.errors import InputError
from harness.formats.rows import Layout, iterate_rows, read_rows
from harness.formats.words import base_tag
from harness.spec.catalog import Catalog
from harness.spec.entries import Task
from harness.tasks.encoded import Encoded, encode_rows
from harness.tasks.shared_rows import row_keys
from harness.tasks.sizes import task_sizes
from harness.tasks.task_data import check_rows, evaluation_sentences, load_task
from harness.tasks.words import first_pieces, text_of

SENTENCES = [
    (["Ada", "Lovelace", "met", "Charles", "."], ["B-PER", "I-PER", "O", "B-PER", "O"]),
    (["In", "London", "it", "rained", "."], ["O", "B-LOC", "O", "O", "O"]),
]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CONLLU = """\
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tx\t_\tX\t_\t_\t_\t_\t_\t_
3\tal\tal\tADP\t_\t_\t4\tcase\t_\t_
4\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_
"""


def as_jsonl(rows: list[tuple[Any, Any]]) -> str:
    return "\n".join(json.dumps({"words": words, "tags": tags}) for words, tags in rows)


def as_conll(rows: list[tuple[list[str], list[str]]], separator: str = "\t") -> str:
    blocks = ("\n".join(map(separator.join, zip(*row, strict=True))) for row in rows)
    return "\n\n".join(blocks) + "\n"


def as_brown(rows: list[tuple[list[str], list[str]]]) -> str:
    return "\n\n".join(" ".join(map("/".join, zip(*row, strict=True))) for row in rows)


def task(folder: Path, **fields: Any) -> Task:
    """Entities in jsonl files of a folder."""
    declared: dict[str, Any] = {
        "name": "names",
        "suite": "own",
        "type": "token_classification",
        "assets": {"data": {"sources": [{"path": str(folder)}]}},
        "splits": {"train": {"files": "train.*"}, "test": {"files": "test.*"}},
        "columns": {"text": "words", "label": "tags"},
        "format": "jsonl",
        "labels": {name: name for name in LABELS},
        "metrics": ["entity_f1", "entity_f1_strict", "word_accuracy"],
    }
    return Task.model_validate(declared | fields)


def write(folder: Path, content: str, suffix: str = "jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        (folder / f"{split}.{suffix}").write_text(content, encoding="utf-8")
    return folder


def test_every_form_of_file_gives_the_same_rows(tmp_path: Path, sources: Sources) -> None:
    forms = {
        "jsonl": ("jsonl", as_jsonl(SENTENCES), {}),
        "tabs": ("conll", as_conll(SENTENCES), {}),
        "spaces": ("conll", "-DOCSTART- -X- O\n\n" + as_conll(SENTENCES, " x "), {}),
        "windows": ("conll", as_conll(SENTENCES).replace("\n", "\r\n"), {}),
        "named": (
            "conll",
            as_conll(SENTENCES),
            {"header": ["form", "entity"], "columns": {"text": "form", "label": "entity"}},
        ),
        "brown": ("brown", as_brown(SENTENCES), {}),
    }
    frames = {}
    for name, (format, content, fields) in forms.items():
        own = task(write(tmp_path / name, content), format=format, **fields)
        frames[name] = load_task(own, ("en",), sources).frames["train", "en"]
    frame = frames["jsonl"]
    assert frame["text"].tolist() == ["Ada Lovelace met Charles .", "In London it rained ."]
    assert frame["label"].tolist() == [[1, 2, 0, 1, 0], [0, 3, 0, 0, 0]]
    for name, other in frames.items():
        pd.testing.assert_frame_equal(other, frame, obj=name)


def test_tags_of_parquet_are_read_by_the_names_that_the_data_states(tmp_path: Path, sources: Sources) -> None:
    import datasets

    tags = datasets.ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    features = datasets.Features(words=datasets.List(datasets.Value("string")), tags=datasets.List(tags))
    rows = datasets.Dataset.from_dict(
        {"words": [words for words, _ in SENTENCES], "tags": [own for _, own in SENTENCES]}, features=features
    )
    for split in ("train", "test"):
        rows.to_parquet(tmp_path / f"{split}.parquet")
    frame = load_task(task(tmp_path, format="parquet"), ("en",), sources).frames["test", "en"]
    assert frame["label"].tolist() == [[1, 2, 0, 1, 0], [0, 3, 0, 0, 0]]
    mixed = task(tmp_path, format="parquet", labels=dict(zip(LABELS, [0, 2, 1, 3, 4], strict=True)))
    with pytest.raises(InputError, match="the label order is mixed up"):
        load_task(mixed, ("en",), sources)


def test_conllu_gives_syntactic_words(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text(CONLLU, encoding="utf-8")
    [row] = iterate_rows(tmp_path / "a.conllu", Layout("conllu"), ["form", "upos"])
    assert (row["form"], row["upos"]) == (["vamos", "nos", "al", "mar"], ["VERB", "PRON", "ADP", "NOUN"])


@pytest.mark.parametrize(
    ("tag", "base"),
    [("nn-tl", "nn"), ("nn-tl-hl", "nn"), ("pps+bez-hl", "pps"), ("dod*", "dod"), ("*", "*"), ("--", "--"),
     ("fw-in+nn", "fw"), ("np$-tl", "np$"), (",-hl", ","), ("wps+bez-tl", "wps"), ("*-hl", "*")],
)  # fmt: skip
def test_tags_of_the_brown_corpus_without_their_marks(tag: str, base: str) -> None:
    assert base_tag(tag) == base


@pytest.mark.parametrize(
    ("format", "content", "said"),
    [
        ("conll", "a\tO\nb\n", "train.x:2: a torn line: 1 fields, the first has 2"),
        ("conll", "a\n", "train.x:1: a torn line: 1 fields, the first has 1, and 2 are the fewest"),
        ("conllu", CONLLU + "5\t.\t_\n", "train.x:8: a torn line: 3 fields, CoNLL-U has 10"),
        ("brown", "a/at dog/nn\nbarked\n", "train.x:2: 'barked' is no word/tag"),
        ("brown", "a/at /nn\n", "train.x:1: 'nn' is no word/tag"),
    ],
)
def test_a_torn_line_is_named(format: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.x").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        read_rows(tmp_path / "train.x", Layout(format), [])


BAD: list[tuple[Any, Any, str]] = [
    (["a", "b"], ["O"], "train.jsonl, row 1: 1 tags for 2 words; each word has one tag"),
    (["a"], ["O", "O"], "train.jsonl, row 1: 2 tags for 1 words"),
    ([], [], "train.jsonl, row 1: an empty sentence; leave rows without words out"),
    (["a", None], ["O", "O"], "train.jsonl, row 1: word 1 of column 'words' is None, which is no text"),
    (["a", " "], ["O", "O"], "train.jsonl, row 1: word 1 of column 'words' is ' ', which is no text"),
    ([3, "a"], ["O", "O"], "train.jsonl, row 1: word 0 of column 'words' is 3"),
    (None, ["O"], "train.jsonl, row 1: column 'words' holds no list: None"),
    ("a b", ["O", "O"], "train.jsonl, row 1: column 'words' holds no list: 'a b'"),
    (["a"], None, "train.jsonl, row 1: column 'tags' holds no list: None"),
    (["a"], [["O"]], "train.jsonl, row 1: tag 0 of column 'tags' is ['O'], which is no label"),
    (["a"], ["B-ORG"], "train.jsonl, row 1: label values 'B-ORG' (1 row) are not among 'O', 'B-PER'"),
    (["a"], [None], "train.jsonl, row 1: label values null (1 row) are not among 'O', 'B-PER'"),
    (["\ud800"], ["O"], "train.jsonl, row 1: column 'words' holds no text: ['\\ud800']"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "tags", "said"), BAD, ids=[said[19:50] for _, _, said in BAD])
def test_bad_rows_are_named_before_anything_is_trained(
    words: Any, tags: Any, said: str, tmp_path: Path, sources: Sources
) -> None:
    folder = write(tmp_path / "data", as_jsonl(SENTENCES))
    (folder / "train.jsonl").write_text(as_jsonl([SENTENCES[0], (words, tags)]), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"task names, split train (en): {said}")):
        check_rows(task(folder), ("en",), sources)


def test_a_sentence_with_a_tag_to_drop_is_left_out(tmp_path: Path, sources: Sources) -> None:
    folder = write(tmp_path / "data", as_jsonl([(["a"], ["_"]), *SENTENCES]))
    frame = load_task(task(folder, drop_labels=["_"]), ("en",), sources).frames["train", "en"]
    assert frame["row"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "csv"}, "reads lists of words and tags, which csv files do not hold; use jsonl, parquet, conll"),
        ({"labels": {"O": "O"}}, "a token_classification task names at least two tags under `labels`"),
        ({"columns": {"text": "a", "text_pair": "b", "label": "c"}}, "has one text, so no column `text_pair`"),
        ({"labels": {"B-PER": 1, "I-PER": 2, "O": 0}}, "then B- and I- of each type; write O, B-PER, I-PER"),
        ({"labels": {"O": 0, "B-PER": 1}}, "write O, B-PER, I-PER"),
        ({"labels": {"NOUN": 0, "VERB": 1}}, "the metric 'entity_f1' needs the labels O"),
        ({"metrics": ["accuracy"]}, "cannot score a token_classification task; use one of word_accuracy, entity_f1"),
        ({"type": "classification", "format": "conll", "metrics": ["accuracy"]}, "conll files hold tagged words"),
        ({"columns": {"text": "words"}}, "needs a train split and a label column"),
    ],
)  # fmt: skip
def test_a_task_file_that_cannot_work_says_what_would(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        task(tmp_path, **fields)


def trained(kind: str) -> PreTrainedTokenizerBase:
    """A small tokenizer of one of the forms that encoders come with."""
    text = ["the grand jury said it was über unsinkbar, 2,000 times"] * 9
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if kind == "word pieces":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special))
    elif kind == "sentence pieces":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.normalizer = pre_tokenizers.Metaspace(), normalizers.NFKC()
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="[UNK]")
        made.train_from_iterator(text, trainer)
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            text, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


@pytest.mark.parametrize("kind", ["word pieces", "sentence pieces", "bytes"])
def test_each_word_is_found_at_its_first_piece(kind: str) -> None:
    words = ["The", "jury", "said", "über", "un sink", "2,000", "times", "grand", "."]
    tokenizer, text = trained(kind), text_of(words)
    encoded = tokenizer(text, return_offsets_mapping=True)
    places = first_pieces(text, encoded["offset_mapping"])
    assert places == sorted(places)
    assert -1 not in places
    assert len(set(places)) == len(words)
    starts = [text.index(word) for word in text.split(" ")]
    for start, place in zip(starts, places, strict=True):
        begin, end = encoded["offset_mapping"][place]
        assert begin <= start < end
    hub = tokenizer(
        [w.replace(" ", "\u00a0") for w in words], is_split_into_words=True, add_special_tokens=False
    )
    if kind == "word pieces":  # the others put something before each word of a list
        assert places == [hub.word_ids().index(n) for n in range(len(words))]


def test_words_without_a_token_have_none() -> None:
    tokenizer, text = trained("word pieces"), text_of(["it", "\u200b", "was"])
    encoded = tokenizer(text, return_offsets_mapping=True)
    first, none, last = first_pieces(text, encoded["offset_mapping"])
    assert (first, none) == (0, -1)
    assert last > 0


def test_what_is_cut_off_has_no_piece_and_parts_join(tmp_path: Path) -> None:
    texts = ["the grand jury said it was", "it", "grand jury"]
    frame = pd.DataFrame({"text": texts, "text_pair": [None] * 3}, dtype=object)
    tokenizer = trained("word pieces")

    def encode(rows: pd.DataFrame, name: str) -> Encoded:
        return encode_rows(rows, name, tokenizer, "f" * 64, 3, tmp_path, by_word=True)

    whole = encode(frame, "whole")
    assert [len(whole.pieces_of(row)) for row in range(3)] == [6, 1, 2]
    assert whole.pieces_of(0)[-1] == -1
    assert whole.pieces_of(1).tolist() == [0]
    again = encode(frame, "whole")  # from the cache
    joined = Encoded.joined([encode(frame[:1], "first"), encode(frame[1:], "rest")])
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(again, name), value)
        np.testing.assert_array_equal(getattr(joined, name), value)
    plain = encode_rows(frame, "whole", tokenizer, "f" * 64, 3, tmp_path)
    assert (plain.pieces, plain.words) == (None, None)
    np.testing.assert_array_equal(plain.ids, whole.ids)


def test_sentences_are_compared_and_counted_like_other_texts(tmp_path: Path, sources: Sources) -> None:
    own = task(write(tmp_path / "data", as_conll(SENTENCES)), format="conll")
    assert evaluation_sentences(own, sources) == {"ada lovelace met charles", "in london it rained"}
    frame = load_task(own, ("en",), sources).frames["test", "en"]
    running = pd.DataFrame({"text": ["Ada Lovelace met Charles."], "text_pair": [None]})
    assert row_keys(frame)[0] == row_keys(running)[0]
    size = task_sizes([own], sources)["names"]
    assert size.rows == {("train", "en"): 2, ("test", "en"): 2}
    assert size.characters == (26, 21)


def test_the_task_of_the_documentation_reads_three_languages(tmp_path: Path, sources: Sources) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    [snippet] = re.findall(r"^```yaml\n(schema: 1\nname: my-names\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my-names").mkdir()
    for language, split in itertools.product(("en", "de", "sw"), ("train", "dev", "test")):
        rows = (
            SENTENCES
            if split == "train"
            else [([language, *words], ["O", *tags]) for words, tags in SENTENCES]
        )
        (tmp_path / "my-names" / f"{language}.{split}").write_text(as_conll(rows), encoding="utf-8")
    (tmp_path / "my-names.yaml").write_text(snippet, encoding="utf-8")
    _, own = Catalog().get("tasks", "my-names.yaml", Task, base=tmp_path)
    check_rows(own, own.languages, sources)
    frames = load_task(own, own.languages, sources).frames
    assert frames["test", "sw"]["text"].iloc[1] == "sw In London it rained ."
    assert {part for part in frames if part[0] == "train"} == {("train", "en")}


@given(st.lists(st.text(st.sampled_from("ab.\t\u00a0\u2003 "), min_size=1).filter(str.strip), min_size=1))
def test_each_word_is_one_stretch_of_the_text_whatever_space_it_holds(words: list[str]) -> None:
    text = text_of(words)
    assert ["".join(word.split()) for word in text.split(" ")] == ["".join(word.split()) for word in words]
    assert len(first_pieces(text, [])) == len(words)
