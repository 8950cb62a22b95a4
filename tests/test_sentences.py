"""When two sentences are the same, and what is taken out of a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.corpora.cleaning import CleaningCounts, SeenHashes, clean, hashes_of
from harness.formats.documents import READERS
from harness.sentences import normalise, sentence_keys, sentences


@given(st.text(alphabet="aB é.!?。।\n\"' ()", max_size=80))
def test_cutting_loses_nothing(document: str) -> None:
    assert "".join(sentences(document)) == document


def test_sentences_end_where_people_end_them() -> None:
    assert sentences('He came. "Why?" she asked. No answer') == [
        "He came. ",
        '"Why?" she asked. ',
        "No answer",
    ]
    assert sentences("他来了。她走了。") == ["他来了。", "她走了。"]
    assert sentences("वह आया। वह गई।") == ["वह आया। ", "वह गई।"]
    assert sentences("It costs 3.50 e.g. here") == ["It costs 3.50 e.g. here"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A man, sleeping.", "a man sleeping"),
        ("ﬁne  ＡＢＣ", "fine abc"),
        ("don't", "don t"),
        ("Straße\n", "straße"),
    ],
)
def test_case_width_spacing_and_punctuation_do_not_tell_sentences_apart(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("कि", "की"), ("มา", "ม้า"), ("cat", "cats"), ("résumé", "resume")]
)
def test_vowel_signs_and_accents_tell_words_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_short_strings_are_no_evidence_of_a_leak() -> None:
    keys = sentence_keys(["No.", "Wait! The U.S. is far away."])
    assert keys == {"wait the u s is far away", "the u s is far away"}


def test_repeated_and_evaluated_sentences_leave_the_text_and_are_counted() -> None:
    documents = [
        "One came. A test sentence! Two went.",
        "two went... Three stayed.",
        "* * *",
        "A test sentence",
    ]
    counts = CleaningCounts()
    evaluated = hashes_of(sentence_keys(["a TEST sentence"]))
    watched = hashes_of(sentence_keys(["Three stayed"]))
    kept = list(clean(documents, {"task": evaluated}, {"other": watched}, counts))
    assert kept == ["One came. Two went.", "Three stayed."]
    assert (counts.documents, counts.sentences, counts.duplicates) == (2, 3, 1)
    assert counts.excluded == {"task": 2}
    assert counts.remaining == {"other": 1}


@given(st.lists(st.lists(st.integers(0, 40), max_size=20), max_size=20))
def test_a_hash_is_new_exactly_once(pieces: list[list[int]]) -> None:
    seen, known = SeenHashes(), set[int]()
    for piece in pieces:
        expected = []
        for value in piece:
            expected.append(value not in known)
            known.add(value)
        assert seen.first(np.array(piece, dtype=np.uint64)).tolist() == expected


def read(name: str, path: Path, field: str = "text") -> list[str]:
    return list(READERS[name](path, field))


def test_the_brown_reader_drops_tags_and_mends_spaces(tmp_path: Path) -> None:
    path = tmp_path / "ca01"
    first = "The/at jury/nn said/vbd ``/`` no/at evidence/nn ''/'' ,/, and/cc left/vbd ./."
    path.write_text(f"\n\n\t{first}\n\n\tIt/pps did/dod ?/. ?/.\n")
    assert read("brown", path) == ['The jury said "no evidence", and left.\nIt did?']


def test_paragraphs_are_joined_and_lines_are_not(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\ntwo\n\n\nthree\n")
    assert read("paragraphs", path) == ["one two", "three"]
    assert read("lines", path) == ["one", "two", "three"]


def test_messages_lose_their_markup_and_those_with_placeholders_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "de.json"
    texts = ["Mehr über [Tasten](https://a.example) und `aria-*`.", "{PH1} Dateien", "Zeile %s", "Ok"]
    path.write_text(json.dumps({str(n): {"message": text} for n, text in enumerate(texts)}))
    assert read("messages", path) == ["Mehr über Tasten und aria-*."]


def test_parquet_and_json_lines_give_the_same_documents(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"body": ["Ein Satz.", "  ", "Noch einer."]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    assert read("parquet", tmp_path / "a.parquet", "body") == ["Ein Satz.", "Noch einer."]
    assert read("jsonl", tmp_path / "a.jsonl", "body") == ["Ein Satz.", "Noch einer."]
