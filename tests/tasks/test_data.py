"""Rows of a task: labels by name, splits by hash, identity by content, and mistakes named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import catalog_corpus, catalog_task, packaged

from harness.assets.sources import Sources
from harness.corpora.corpus import evaluation_overlap, survey
from harness.errors import AssetError, InputError
from harness.spec.entries import Corpus, Task
from harness.tasks.task_data import check_rows, evaluation_sentences, load_task

ROWS = [
    {
        "premise": f"The premise {n // 3}.",
        "hypothesis": f"The hypothesis {n}.",
        "label": n % 3,
        "name": "enc"[n % 3],
    }
    for n in range(300)
]


def task(folder: Path, **fields: Any) -> Task:
    """A three-way task over parquet files in a folder."""
    declared: dict[str, Any] = {
        "name": "nli",
        "suite": "own",
        "assets": {"data": {"sources": [{"path": str(folder)}]}},
        "splits": {"train": {"files": "train.parquet"}, "test": {"files": "test.parquet"}},
        "columns": {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        "labels": {"entailment": 0, "neutral": 1, "contradiction": 2},
        "metrics": ["accuracy"],
    }
    return Task.model_validate(declared | fields)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train and test as parquet."""
    data = tmp_path / "data"
    data.mkdir()
    frame = pd.DataFrame(ROWS)
    frame.to_parquet(data / "train.parquet")
    frame.iloc[:30].to_parquet(data / "test.parquet")
    return data


def test_labels_come_by_name_in_the_order_of_the_task_file(folder: Path, sources: Sources) -> None:
    by_number = load_task(task(folder), ("en",), sources).frames["train", "en"]
    assert by_number["label"].tolist() == [n % 3 for n in range(300)]
    assert by_number.columns.tolist() == ["text", "text_pair", "row", "label"]
    turned = task(
        folder,
        columns={"text": "premise", "text_pair": "hypothesis", "label": "name"},
        labels={"contradiction": "c", "neutral": "n", "entailment": "e"},
    )
    by_name = load_task(turned, ("en",), sources).frames["train", "en"]
    assert by_name["label"].tolist() == [2 - n % 3 for n in range(300)]


def test_class_names_of_the_data_catch_a_mixed_up_label_order(folder: Path, sources: Sources) -> None:
    import datasets

    features = datasets.Features(
        premise=datasets.Value("string"),
        hypothesis=datasets.Value("string"),
        name=datasets.Value("string"),
        label=datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
    )
    for name in ("train", "test"):
        rows = datasets.Dataset.from_list(ROWS, features=features)
        rows.to_parquet(folder / f"{name}.parquet")
    right = load_task(task(folder), ("en",), sources)
    by_name = task(
        folder, labels={"contradiction": "contradiction", "neutral": "neutral", "entailment": "entailment"}
    )
    turned = load_task(by_name, ("en",), sources)
    assert (right.frames["train", "en"]["label"] == 2 - turned.frames["train", "en"]["label"]).all()
    mixed_up = task(folder, labels={"contradiction": 0, "neutral": 1, "entailment": 2})
    with pytest.raises(InputError, match="label order is mixed up: the data's class 0 is 'entailment'"):
        load_task(mixed_up, ("en",), sources)


def test_every_format_gives_the_same_rows(folder: Path, sources: Sources) -> None:
    frame = pd.DataFrame(ROWS)
    wanted = load_task(task(folder), ("en",), sources)
    for name in ("train", "test"):
        part = frame if name == "train" else frame.iloc[:30]
        part.to_json(folder / f"{name}.jsonl", orient="records", lines=True)
        part.to_csv(folder / f"{name}.csv", index=False)
        part.to_csv(folder / f"{name}.tsv", index=False, sep="\t", header=False)
    for kind in ("jsonl", "csv", "tsv"):
        splits = {name: {"files": f"{name}.{kind}"} for name in ("train", "test")}
        header = list(frame.columns) if kind == "tsv" else None
        found = load_task(task(folder, splits=splits, format=kind, header=header), ("en",), sources)
        assert found.data_ids == wanted.data_ids, kind


def test_splits_cut_by_hash_are_disjoint_whole_and_keep_equal_texts_together(
    folder: Path, sources: Sources
) -> None:
    cut = task(
        folder,
        splits={
            "train": {"files": "train.parquet", "hash_range": [0.2, 1]},
            "test": {"files": "train.parquet", "hash_range": [0, 0.2]},
        },
    )
    data = load_task(cut, ("en",), sources)
    train, test = data.frames["train", "en"], data.frames["test", "en"]
    assert sorted([*train["row"], *test["row"]]) == list(range(300))
    assert not set(train["text"]) & set(test["text"])
    assert 0.1 < len(test) / 300 < 0.3


def test_the_train_holdout_is_a_fixed_tenth_and_row_choices_are_nested(
    folder: Path, sources: Sources
) -> None:
    data = load_task(task(folder), ("en",), sources)
    held = data.with_train_holdout()
    parts = held.frames["train", "en"], held.frames["train_holdout", "en"]
    assert sorted([*parts[0]["row"], *parts[1]["row"]]) == list(range(300))
    assert 0.04 < len(parts[1]) / 300 < 0.18
    assert held.data_ids["train_holdout", "en"] == data.with_train_holdout().data_ids["train_holdout", "en"]
    fewer, more = (set(data.with_train_rows(n).frames["train", "en"]["row"]) for n in (50, 120))
    assert len(fewer) == 50
    assert fewer < more


def test_a_capped_evaluation_keeps_the_same_positions_in_every_split_and_leaves_train(
    folder: Path, sources: Sources
) -> None:
    data = load_task(task(folder), ("en",), sources)
    capped = data.with_eval_rows(10)
    assert len(capped.frames["test", "en"]) == 10
    assert set(capped.frames["test", "en"]["row"]) < set(data.with_eval_rows(20).frames["test", "en"]["row"])
    assert len(capped.frames["train", "en"]) == len(data.frames["train", "en"])
    assert capped.data_ids["test", "en"] != data.data_ids["test", "en"]


def test_dev_can_be_capped_by_itself(folder: Path, sources: Sources) -> None:
    splits = {
        name: {"files": f"{file}.parquet"}
        for name, file in {"train": "train", "dev": "test", "test": "test"}.items()
    }
    data = load_task(task(folder, splits=splits), ("en",), sources)
    capped = data.with_eval_rows(None, dev_rows=7)
    assert len(capped.frames["dev", "en"]) == 7
    assert capped.data_ids["test", "en"] == data.data_ids["test", "en"]
    assert len(data.with_eval_rows(5, dev_rows=7).frames["dev", "en"]) == 5


def test_the_identity_is_the_rows_not_the_file(folder: Path, sources: Sources) -> None:
    before = load_task(task(folder), ("en",), sources).data_ids["test", "en"]
    pd.DataFrame(ROWS).iloc[:30].to_parquet(folder / "test.parquet", compression="gzip")
    assert load_task(task(folder), ("en",), sources).data_ids["test", "en"] == before
    pd.DataFrame(ROWS).iloc[1:31].to_parquet(folder / "test.parquet")
    assert load_task(task(folder), ("en",), sources).data_ids["test", "en"] != before


def test_ratings_become_classes_by_interval_and_the_rest_is_dropped(folder: Path, sources: Sources) -> None:
    rows = [{"premise": f"s{n}", "rating": value} for n, value in enumerate([-2.0, -0.5, 0.0, 0.4, 0.5, 3.0])]
    for name in ("train", "test"):
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")
    rated = task(
        folder,
        columns={"text": "premise", "label": "rating"},
        labels={"negative": {"at_most": -0.5}, "positive": {"at_least": 0.5}},
    )
    frame = load_task(rated, ("en",), sources).frames["train", "en"]
    assert list(zip(frame["row"], frame["label"], strict=True)) == [(0, 0), (1, 0), (4, 1), (5, 1)]
    assert frame["text_pair"].tolist() == [None] * 4


def failing(folder: Path, sources: Sources, wanted: tuple[str, ...] = ("en",), /, **fields: Any) -> str:
    """The one line that loading ends with."""
    with pytest.raises(InputError) as refused:
        load_task(task(folder, **fields), wanted, sources)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(folder: Path, sources: Sources) -> None:
    message = failing(folder, sources, columns={"text": "sentence", "label": "label"})
    assert "task nli, split train (en): train.parquet: no column 'sentence'" in message
    assert "premise, hypothesis, label, name" in message


def test_a_label_value_that_is_not_named_is_counted(folder: Path, sources: Sources) -> None:
    message = failing(folder, sources, labels={"entailment": 0, "neutral": 1})
    assert "label values 2 (100 rows) are not among 0, 1" in message


def test_named_values_can_be_dropped(folder: Path, sources: Sources) -> None:
    two = task(folder, labels={"entailment": 0, "neutral": 1}, drop_labels=[2])
    assert len(load_task(two, ("en",), sources).frames["train", "en"]) == 200


def test_mixed_label_types_are_named(folder: Path, sources: Sources) -> None:
    lines = [json.dumps({"premise": "a", "label": label}) for label in ("entailment", 1)]
    (folder / "train.jsonl").write_text("\n".join(lines))
    splits = {"train": {"files": "train.jsonl"}, "test": {"files": "train.jsonl"}}
    message = failing(
        folder, sources, splits=splits, format="jsonl", columns={"text": "premise", "label": "label"}
    )
    assert "column 'label' mixes text ('entailment') and numbers (1)" in message
    (folder / "train.csv").write_text("premise,label\na,0\nb,neutral\n")
    splits = {"train": {"files": "train.csv"}, "test": {"files": "train.csv"}}
    message = failing(
        folder, sources, splits=splits, format="csv", columns={"text": "premise", "label": "label"}
    )
    assert "'neutral'" in message


def test_a_text_that_is_no_text_is_named(folder: Path, sources: Sources) -> None:
    pd.DataFrame([*ROWS, {**ROWS[0], "premise": None}]).to_parquet(folder / "train.parquet")
    assert "column 'premise' holds no text in row 300: None" in failing(folder, sources)


def test_an_empty_split_is_named(folder: Path, sources: Sources) -> None:
    splits = {"train": {"files": "train.parquet"}, "test": {"files": "test.parquet", "hash_range": [0, 1e-9]}}
    assert "split test (en): no rows are left (of 30 read)" in failing(folder, sources, splits=splits)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_file_without_rows_is_named(kind: str, folder: Path, sources: Sources) -> None:
    splits = {"train": {"files": f"train.{kind}"}, "test": {"files": f"none.{kind}"}}
    pd.DataFrame(ROWS).to_json(folder / "train.jsonl", orient="records", lines=True)
    pd.DataFrame(ROWS).iloc[:0].to_parquet(folder / "none.parquet")
    (folder / "none.jsonl").touch()
    message = rf"task nli, split test \(en\): no rows: none.{kind} is empty"
    with pytest.raises(InputError, match=message):
        load_task(task(folder, splits=splits, format=kind), ("en",), sources)


def test_rows_are_checked_as_they_are_read_and_nothing_is_kept(folder: Path, sources: Sources) -> None:
    check_rows(task(folder), ("en",), sources)
    frame = pd.DataFrame(ROWS)
    frame.loc[7, "label"] = 9
    frame.to_parquet(folder / "train.parquet")
    with pytest.raises(InputError, match=r"split train \(en\): label values 9 \(1 row\)"):
        check_rows(task(folder), ("en",), sources)


def test_a_file_that_is_not_what_it_should_be_is_named(folder: Path, sources: Sources) -> None:
    (folder / "train.parquet").write_bytes(b"nonsense")
    assert "train.parquet cannot be read" in failing(folder, sources)


def test_a_split_without_files_shows_what_there_is(folder: Path, sources: Sources) -> None:
    message = failing(
        folder, sources, splits={"train": {"files": "training.parquet"}, "test": {"files": "test.parquet"}}
    )
    assert "no file matches 'training.parquet'" in message
    assert "test.parquet, train.parquet" in message


def test_a_language_that_the_data_lacks_is_named(folder: Path, sources: Sources) -> None:
    for language in ("en", "de"):
        pd.DataFrame(ROWS[:9]).to_parquet(folder / f"{language}.parquet")
    languages = {
        "languages": ["de", "en", "sw"],
        "splits": {"train": {"files": "train.parquet"}, "test": {"files": "{language}.parquet"}},
    }
    assert set(load_task(task(folder, **languages), ("de",), sources).frames) == {
        ("train", "en"),
        ("test", "de"),
    }
    assert "lacks the language 'sw'; it has de, en" in failing(folder, sources, ("sw",), **languages)
    assert "has no language 'fr'" in failing(folder, sources, ("fr",), **languages)


def test_a_data_folder_without_the_task_is_named(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "cache", data_dir=tmp_path, offline=True)
    with pytest.raises(
        AssetError, match=r"data folder .*: has no glue/cola; hub nyu-mll/glue/cola: not asked"
    ):
        load_task(catalog_task("cola"), ("en",), sources)


def test_a_corpus_holds_no_sentence_of_an_excluded_task(
    folder: Path, tmp_path: Path, sources: Sources
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(
        "A free line.\nTHE PREMISE 3!\nthe hypothesis 7\nAnother one.\nThe hypothesis 200.\n"
    )
    declared = {"name": "c", "texts": [{"language": "en", "asset": {"sources": [{"path": str(texts)}]}}]}
    evaluated = task(folder)
    whole = Corpus.model_validate(declared)
    assert evaluation_overlap(whole, (evaluated,), sources) == {"nli": 2}
    assert evaluation_sentences(evaluated, sources) >= {"the premise 3", "the hypothesis 7"}
    cut = whole.model_copy(update={"exclude": (evaluated,)})
    assert evaluation_overlap(cut, (evaluated,), sources) == {"nli": 0}
    assert survey(cut, (), sources)["en"].excluded == {"nli": 2}
    assert survey(cut, (), sources)["en"].sentences == 3  # training sentences may stay


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("sst2", {"train": 6920, "dev": 872}),
        ("rte", {"train": 1960, "dev": 224}),
        ("stsb", {"train": 5655, "dev": 1347}),
    ],
)
def test_glue_in_hub_layout_reads_as_the_hub_copy_would(
    name: str, rows: dict[str, int], harness_data: Path, sources: Sources
) -> None:
    local = Sources(sources.cache_dir, data_dir=harness_data)
    frames = load_task(catalog_task(name), ("en",), local).frames
    assert {split: len(frame) for (split, _), frame in frames.items()} == rows


def test_xnli_is_parallel_in_fifteen_languages(harness_data: Path, shared_sources: Sources) -> None:
    xnli = catalog_task("xnli-from-snli")
    packaged(xnli.assets["train"], shared_sources)
    local = Sources(shared_sources.cache_dir, data_dir=harness_data)
    data = load_task(xnli, xnli.languages, local)
    assert data.languages("dev") == tuple(sorted(xnli.languages))
    labels = {tuple(data.frames["dev", language]["label"]) for language in xnli.languages}
    assert len(labels) == 1
    assert len(data.frames["train", "en"]) == 99_890


def test_packaged_tasks_have_the_rows_that_their_notes_state(shared_sources: Sources) -> None:
    for name in ("vader-movies", "udhr-retrieval"):
        packaged(catalog_task(name).assets["data"], shared_sources)
    vader = load_task(catalog_task("vader-movies"), ("en",), shared_sources).frames
    assert sum(map(len, vader.values())) == 10_072
    declaration = load_task(
        catalog_task("udhr-retrieval"), catalog_task("udhr-retrieval").languages, shared_sources
    )
    assert {len(frame) for frame in declaration.frames.values()} == {50}
    assert len({tuple(frame["id"]) for frame in declaration.frames.values()}) == 1


def test_the_shipped_corpora_hold_no_evaluated_sentence(shared_sources: Sources) -> None:
    corpus = catalog_corpus("messages-xnli15")
    for text in corpus.texts:
        packaged(text.asset, shared_sources)
    for name in ("snli", "vader-movies"):
        packaged(catalog_task(name).assets["data"], shared_sources)
    tasks = tuple(catalog_task(name) for name in ("snli", "vader-movies", "udhr-retrieval"))
    assert evaluation_overlap(corpus, tasks, shared_sources) == {task.name: 0 for task in tasks}
    by_language = survey(corpus, (), shared_sources)
    assert sorted(by_language) == sorted(catalog_task("xnli").languages)
    assert [language for language, text in by_language.items() if text.thin] == ["zh"]
