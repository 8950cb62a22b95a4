"""A path is a path: whatever characters it has, it is that folder's bytes that are read, never a neighbour's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.assets.fetch import fetch
from harness.assets.sources import Sources
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader
from harness.models.loading import load_folder
from harness.spec.catalog import anchored
from harness.spec.entries import Corpus, Task, Teacher
from harness.spec.yaml.source import parse
from harness.tasks.task_data import load_task
from tests.models.tiny import tiny_model, tiny_tokenizer

HOSTILE = "[]*?!{}:'\"` #%&~$\\;|<>()+=,@^\n\t.-_aé日ل"
NAMES = st.text(st.sampled_from(HOSTILE), min_size=1, max_size=8).filter(
    lambda name: name.strip(".") and not name.startswith(".")
)
FORMATS = ("parquet", "jsonl", "csv", "tsv")


def decoys(name: str) -> set[str]:
    """Neighbours that a pattern or an address made of `name` could mean."""
    opened = name.replace("[", "").replace("]", "")
    return {"a", opened, name.replace("*", "a").replace("?", "a"), name.strip(), name.split("::")[-1]} - {
        name,
        "",
    }


def fill(folder: Path, word: str) -> None:
    """Rows in every format and lines of text that all name `word`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": f"{word} number {n}", "label": n % 2} for n in range(6)]
    frame = pd.DataFrame(rows)
    frame.to_parquet(folder / "rows.parquet")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_csv(folder / "rows.tsv", index=False, sep="\t")
    (folder / "text.txt").write_text("".join(f"{row['text']}\n" for row in rows))


def task(folder: str, format: str) -> Task:
    files = {"files": f"rows.{format}"}
    declared = {
        "name": "own", "suite": "own", "assets": {"data": {"sources": [{"path": folder}]}},
        "splits": {"train": files, "test": files}, "columns": {"text": "text", "label": "label"},
        "format": format, "labels": {"no": 0, "yes": 1}, "metrics": ["accuracy"],
    }  # fmt: skip
    document = anchored(parse(json.dumps(declared), "task.yaml", Path("/")))
    return Task.model_validate(document.data)


@given(name=NAMES, linked=st.booleans(), format=st.sampled_from(FORMATS))
@example(name="run[12]", linked=False, format="jsonl")
@example(name="exp [v1]", linked=True, format="csv")
@example(name="a::b", linked=False, format="parquet")
@example(name="~a", linked=False, format="jsonl")
@example(name="**", linked=True, format="parquet")
@settings(max_examples=40, deadline=None)
def test_rows_and_text_come_from_the_folder_that_is_named(
    name: str, linked: bool, format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("paths")
    for other in decoys(name):
        fill(base / "here" / other.replace("/", ""), "decoy")
    fill(base / "real" if linked else base / "here" / name, "wanted")
    if linked:
        (base / "here" / name).symlink_to(base / "real")
    where = str(base / "here" / name)
    sources = Sources(base / "cache" / name)
    frame = load_task(task(where, format), ("en",), sources).frames["test", "en"]
    assert set(frame["text"].str.split().str[0]) == {"wanted"}
    declared = {
        "name": "own",
        "texts": [{"language": "en", "files": "*.txt", "asset": {"sources": [{"path": where}]}}],
    }
    for streaming in (False, True):
        corpus = Corpus.model_validate({**declared, "streaming": streaming})
        documents = list(CorpusReader(corpus, sources).documents("en", CleaningCounts()))
        assert {document.split()[0] for document in documents} == {"wanted"}
    shutil.rmtree(base)


@pytest.mark.parametrize(
    "name", ["run[12]", "a*?b", "hf:::x", "mo del #1%20", "日本 'é\"", "{a,b}", "~x", "li\nne"]
)
@pytest.mark.parametrize("linked", [False, True])
def test_checkpoints_and_tokenizers_come_from_the_folder_that_is_named(
    name: str, linked: bool, tmp_path: Path
) -> None:
    for seed, folder in ((1, "run1"), (2, "real" if linked else name)):
        tiny_model("bert", seed=seed).save_pretrained(tmp_path / folder)
        tiny_tokenizer().save_pretrained(tmp_path / folder)
    if linked:
        (tmp_path / name).symlink_to(tmp_path / "real")
    declared = {"name": "own", "asset": {"sources": [{"path": str(tmp_path / name)}]}}
    document = anchored(parse(json.dumps(declared), "teacher.yaml", Path("/")))
    found = fetch(Teacher.model_validate(document.data).asset, Sources(tmp_path / "cache"))
    loaded = load_folder(found.path)
    wanted = tiny_model("bert", seed=2).state_dict()
    assert all((value == wanted[key]).all() for key, value in loaded.model.state_dict().items())
    assert loaded.tokenizer("a b")["input_ids"] == [0, 5, 6, 2]


@pytest.mark.parametrize("format", FORMATS)
def test_rows_replaced_under_the_same_name_size_and_date_are_read_anew(format: str, tmp_path: Path) -> None:
    import os

    sources, ids = Sources(tmp_path / "cache"), []
    for word in ("first", "other"):
        fill(tmp_path / "data", word)
        for path in (tmp_path / "data").iterdir():
            os.utime(path, (1_700_000_000, 1_700_000_000))
        data = load_task(task(str(tmp_path / "data"), format), ("en",), sources)
        assert set(data.frames["train", "en"]["text"].str.split().str[0]) == {word}
        ids.append(data.data_ids["train", "en"])
    assert ids[0] != ids[1]
