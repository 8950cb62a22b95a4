"""Rows come from the bytes of the named file as they stand; an error names the file and the line that is wrong."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.formats.rows import Layout, read_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
LOOKS_TYPED = ("01", "1e3", "NA", "None", "nan", "true", "1.0", " 1", "-0", "1_000", "2020-01-01", "∞", "")


def written(rows: list[tuple[str, str]], format: str) -> str:
    """Rows under the header text, label, as their format's own writer has them."""
    if format == "jsonl":
        return "".join(json.dumps(dict(zip(("text", "label"), row, strict=True))) + "\n" for row in rows)
    out = io.StringIO()
    csv.writer(out).writerows([("text", "label"), *rows])
    return out.getvalue()


@given(rows=st.lists(st.tuples(TEXT, st.one_of(TEXT, st.sampled_from(LOOKS_TYPED))), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_values_are_read_back_as_they_were_written(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    for format in ("csv", "jsonl"):
        path = folder / f"rows.{format}"
        path.write_text(written(rows, format), "utf-8", newline="")
        found = read_rows(path, Layout(format), ["label", "text"]).values
        assert list(zip(found["text"], found["label"], strict=True)) == rows, format


@pytest.mark.parametrize("value", LOOKS_TYPED)
def test_a_tsv_value_is_text_whatever_it_looks_like(value: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(f'text\tlabel\na "quoted\t{value}\n')
    assert read_rows(tmp_path / "a.tsv", Layout("tsv"), ["text", "label"]).values == {
        "text": ['a "quoted'],
        "label": [value],
    }


@given(lines=st.integers(2, 9), torn=st.data(), separator=st.sampled_from([",", "\t"]), more=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_torn_line_is_named_wherever_it_stands(
    lines: int, torn: st.DataObject, separator: str, more: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = torn.draw(st.integers(2, lines))
    rows = [separator.join((f"id {n}", f"text {n}", "1")) for n in range(2, lines + 1)]
    rows[at - 2] = rows[at - 2] + separator if more else rows[at - 2].rpartition(separator)[0]
    format = "csv" if separator == "," else "tsv"
    path = tmp_path_factory.mktemp("torn") / f"rows.{format}"
    path.write_text("\n".join([separator.join(("id", "text", "label")), *rows]) + "\n")
    with pytest.raises(InputError, match=rf"rows\.{format}:{at}: a torn line"):
        read_rows(path, Layout(format), ["text"])


def test_an_unbalanced_quote_is_named_where_it_opens(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\nfine,1\n"never closed,0\nfine,1\n')
    with pytest.raises(InputError, match=r"a\.csv:3: a torn line"):
        read_rows(tmp_path / "a.csv", Layout("csv"), ["text"])


def test_only_named_columns_are_looked_at(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "odd": [{"x": 1}, None]})
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"text": "a", "odd": 1}\n{"text": "b", "odd": ["x", {}]}\n')
    (tmp_path / "a.csv").write_text("text,odd\na,1\nb,not a number\n")
    for format in ("parquet", "jsonl", "csv"):
        found = read_rows(tmp_path / f"a.{format}", Layout(format), ["text"])
        assert found.values == {"text": ["a", "b"]}, format
        with pytest.raises(InputError, match="no column 'label' in the data; it has"):
            read_rows(tmp_path / f"a.{format}", Layout(format), ["text", "label"])


def test_bytes_in_another_encoding_are_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nfine,1\ncafé,0\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.csv:3: not in utf-8"):
        read_rows(tmp_path / "a.csv", Layout("csv"), ["text"])
    latin = Layout("csv", encoding="latin-1")
    assert read_rows(tmp_path / "a.csv", latin, ["text"]).values["text"] == ["fine", "café"]
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + b"text,label\na,1\n")  # as spreadsheets write it
    assert read_rows(tmp_path / "a.csv", Layout("csv"), ["text"]).values["text"] == ["a"]


PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_file_that_is_cut_short_is_told_or_ends_at_a_line(ending: str, format: str, tmp_path: Path) -> None:
    rows = [(f"text {n} of many", "1") for n in range(50)]
    whole = PACK[ending](written(rows, format).encode())
    path = tmp_path / f"rows.{format}{ending}"
    path.write_bytes(whole)
    assert read_rows(path, Layout(format), ["text"]).rows == 50
    outcomes = {"refused": 0, "read": 0}
    for length in range(1, len(whole), max(1, len(whole) // 23)):
        path.write_bytes(whole[:length])
        try:
            found = read_rows(path, Layout(format), ["text"]).values["text"]
        except InputError as error:
            outcomes["refused"] += str(error).startswith(path.name)
        else:
            outcomes["read"] += found == [text for text, _ in rows[: len(found)]]
    assert sum(outcomes.values()) == len(range(1, len(whole), max(1, len(whole) // 23)))
    assert outcomes["refused"] > 10
    assert outcomes["read"] == 0 or not ending


def test_a_parquet_file_that_is_cut_short_is_told_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"text": [f"text {n}" for n in range(50)]}).to_parquet(path)
    whole = path.read_bytes()
    for length in (1, 4, 11, 12, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"rows\.parquet cannot be read"):
            read_rows(path, Layout("parquet"), ["text"])


@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv", "tsv"])
@pytest.mark.parametrize(
    "pointer",
    [
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "/annex/objects/SHA256E-s12345--4d7a.csv\n",
    ],
)
def test_a_pointer_is_no_content(format: str, pointer: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{format}"
    path.write_text(pointer)
    with pytest.raises(InputError, match=rf"rows\.{format}: a git-(lfs|annex) pointer"):
        read_rows(path, Layout(format), ["text"])
