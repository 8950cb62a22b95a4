"""Tags of words learnt for real on tiny tasks: repeatable, resumable, kept by word, shown and passed on like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from sklearn.metrics import accuracy_score

from harness.cli import main
from harness.errors import TrialError
from harness.kinds import KINDS, FineTunedKind
from harness.kinds.kind import lists
from harness.models.classify import build_classifier
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import RECIPE_VERSIONS, Trial
from harness.results.bundle import bundle, import_bundle
from harness.results.verify import result_problems, score_problems, verify
from harness.spec.entries import Task
from harness.tasks.encoded import encode_rows
from harness.trials.load import load_teacher
from harness.trials.run import run_trials

from .world import ENDINGS, OBJECTS, SUBJECTS, World, finetune_trial, sentences, stop_after, write_rows

PERSONS, PLACES = ("my aunt", "our teacher", "one bird"), ("some bread", "that song", "its shadow")
RECIPE = {"epochs": 8, "batch_size": 8, "learning_rate": 3e-3}
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tags_of(words: Sequence[str]) -> list[str]:
    """Two kinds of entity, each of two words that stand nowhere else; all other words are outside."""
    tags = ["O"] * len(words)
    for place in range(len(words) - 1):
        pair = " ".join(words[place : place + 2])
        for kind, names in (("PER", PERSONS), ("LOC", PLACES)):
            if pair in names:
                tags[place : place + 2] = [f"B-{kind}", f"I-{kind}"]
    return tags


def rows_of(texts: Sequence[str]) -> list[Mapping[str, object]]:
    return [{"words": text.split(), "tags": tags_of(text.split())} for text in texts]


def entity_task(folder: Path, texts: Sequence[str], **changes: object) -> Task:
    """Two thirds to train on, the rest dev and test."""
    rows, third = rows_of(texts), len(texts) // 3
    files = {"train": rows[: 2 * third], "dev": rows[2 * third : -third // 2], "test": rows[-third // 2 :]}
    asset = write_rows(folder, {f"{split}.jsonl": part for split, part in files.items()})
    task = Task.model_validate(
        {
            "name": "names", "suite": "tiny", "type": "token_classification", "format": "jsonl",
            "assets": {"data": asset}, "splits": {split: {"files": f"{split}.jsonl"} for split in files},
            "columns": {"text": "words", "label": "tags"}, "labels": {name: name for name in LABELS},
            "metrics": ("entity_f1", "entity_f1_strict", "word_accuracy"),
        }
    )  # fmt: skip
    return task.model_copy(update=changes)


@pytest.fixture(scope="module")
def task(world: World) -> Task:
    return entity_task(world.folder / "names", sentences(216))


def whole_trial(world: World, task: Task) -> Trial:
    """Of the version that its id is of, as a plan has it."""
    trial = finetune_trial(world, task, **RECIPE)
    return trial.model_copy(update={"recipe_version": RECIPE_VERSIONS["finetune"]})


@pytest.fixture(scope="module")
def learnt(world: World, task: Task) -> Result:
    """The task learnt once, in the folder `tagged`."""
    [result] = run_trials([whole_trial(world, task)], world.site("tagged"))
    assert result.status == "ok", result.error
    return result


def predictions(world: World, name: str, result: Result) -> pd.DataFrame:
    return pd.read_parquet(TrialFolder.of(world.site(name).runs_dir, result.trial_id).predictions)


def test_entities_are_learnt_and_their_scores_are_those_of_the_words_kept(
    world: World, task: Task, learnt: Result
) -> None:
    scores = {one.metric: one for one in learnt.scores if one.split == "test"}
    assert (scores["entity_f1"].value or 0) > 0.95
    frame = predictions(world, "tagged", learnt)
    test = frame[frame["split"] == "test"].sort_values("row")
    texts = sentences(216)[-36:]
    assert [[LABELS[tag] for tag in row] for row in test["label"]] == [
        tags_of(text.split()) for text in texts
    ]
    words = [np.concatenate(test[column].to_numpy()) for column in ("label", "prediction")]
    assert scores["word_accuracy"].value == accuracy_score(*words)
    assert scores["word_accuracy"].no_information == pytest.approx((words[0] == 0).mean())
    assert scores["entity_f1"].no_information is None
    assert [len(row) for row in test["scores"]] == [len(LABELS) * len(text.split()) for text in texts]
    assert {one.n for one in scores.values()} == {36}
    assert learnt.facts["train_words_cut"] == 0
    assert not any("cut" in flag for one in learnt.scores for flag in one.flags)
    assert {one.metric: one.value for one in learnt.rarity} == {
        name: one.value for name, one in scores.items()
    }


def test_verify_recomputes_the_scores_from_the_words(world: World, task: Task, learnt: Result) -> None:
    trial = whole_trial(world, task)
    path = TrialFolder.of(world.site("tagged").runs_dir, learnt.trial_id).predictions
    assert [*result_problems(trial, learnt), *score_problems(trial, learnt, path)] == []
    frame = pd.read_parquet(path)
    frame["prediction"] = [[0] * len(row) for row in frame["prediction"]]
    changed = path.with_name("changed.parquet")
    frame.to_parquet(changed)
    problems = list(score_problems(trial, learnt, changed))
    changed.unlink()
    assert any(problem.startswith("entity_f1_strict of test, en is given as") for problem in problems)


@pytest.mark.parametrize("steps", [None, 50])
def test_run_again_or_interrupted_it_ends_with_the_same_bits(
    steps: int | None, world: World, task: Task, learnt: Result, tmp_path: Path
) -> None:
    trial = whole_trial(world, task)
    if steps is not None:
        with pytest.raises(TrialError, match="stopped after step"):
            run_trials([trial], world.site(str(tmp_path), stop=stop_after(steps)))
    [again] = run_trials([trial], world.site(str(tmp_path)))
    assert again.resumed == (steps is not None)
    assert (again.scores, again.facts, again.tokens) == (learnt.scores, learnt.facts, learnt.tokens)
    pd.testing.assert_frame_equal(
        predictions(world, str(tmp_path), again), predictions(world, "tagged", learnt)
    )


def test_words_cut_off_are_wrong_and_counted(world: World, task: Task, tmp_path: Path) -> None:
    short = finetune_trial(world, task, length=7, epochs=2)  # five words of about nine
    [result] = run_trials([short], world.site(str(tmp_path)))
    frame = predictions(world, str(tmp_path), result)
    test = frame[frame["split"] == "test"]
    cut = [len(row) - 5 for row in test["label"]]
    assert [int((row == -1).sum()) for row in test["prediction"]] == cut
    words = {one.metric: one for one in result.scores if one.split == "test"}["word_accuracy"]
    assert set(words.flags) == {f"words_cut:{sum(cut)}", "sentences_cut:36"}
    right = sum(
        int((row[:5] == own[:5]).sum()) for row, own in zip(test["prediction"], test["label"], strict=True)
    )
    assert right > 72
    assert words.value == pytest.approx(right / (180 + sum(cut)))
    trained = [len(text.split()) - 5 for text in sentences(216)[:144]]
    assert result.facts["train_words_cut"] == sum(trained)


def test_a_model_of_english_tags_is_scored_in_three_languages(world: World, tmp_path: Path) -> None:
    """Own words for persons and places in each language; the pieces are those of one tokenizer."""
    files = {}
    for language, turned in (("en", 0), ("de", 1), ("sw", 2)):
        texts = [" ".join(text.split()[turned:] + text.split()[:turned]) for text in sentences(72)]
        for split, part in (("train", texts[:48]), ("dev", texts[48:60]), ("test", texts[60:])):
            files[f"{split}.{language}.jsonl"] = rows_of(part)
    task = entity_task(
        tmp_path / "unused", sentences(3), assets={"data": write_rows(tmp_path / "task", files)},
        languages=("en", "de", "sw"), name="crossing",
    )  # fmt: skip
    everywhere = {split: {"files": split + ".{language}.jsonl"} for split in ("train", "dev", "test")}
    task = Task.model_validate(task.model_dump() | {"splits": everywhere})
    trial = finetune_trial(world, task, languages=("de", "en", "sw"), select_on="dev_en", epochs=2)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert result.status == "ok", result.error
    found = {(one.split, one.language) for one in result.scores}
    assert found == {(split, language) for split in ("dev", "test") for language in ("de", "en", "sw")}
    english = [one.value for one in result.scores if (one.split, one.language) == ("dev", "en")]
    assert result.dev_value == pytest.approx(np.mean([value or 0.0 for value in english]))
    assert result.facts["train_rows"] == 48


def test_results_are_reported_and_passed_on(
    world: World, learnt: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = world.site("tagged").runs_dir
    assert bundle(runs_dir, tmp_path / "names.zip", compact=True) == 1
    assert import_bundle(tmp_path / "names.zip", tmp_path / "runs").merged == (learnt.trial_id,)
    assert verify(tmp_path / "runs") == []
    for command in ("ingest", "report", "verify"):
        with pytest.raises(SystemExit) as left:
            main([command, "--runs-dir", str(tmp_path / "runs")])
        assert not left.value.code, capsys.readouterr()
    said = capsys.readouterr().out
    assert "tiny-teacher" in said
    assert said.endswith("everything agrees (1 trial)\n")


@pytest.mark.parametrize("rows", [3, 1])
def test_loss_and_head_are_those_of_transformers(rows: int, world: World, tmp_path: Path) -> None:
    """Head and loss are what `...ForTokenClassification` computes from labels of first pieces."""
    kind = KINDS["token_classification"]
    assert isinstance(kind, FineTunedKind)
    loaded = load_teacher(world.teacher, world.site().sources)
    model = build_classifier(loaded, 5, dropout=0.0, seed=1, labels=LABELS, head=kind.head)
    assert isinstance(model.model, transformers.BertForTokenClassification)
    texts = [f"{SUBJECTS[n]} sees {OBJECTS[n]}" + f" {ENDINGS[4]}" * n for n in range(rows)]
    frame = pd.DataFrame({"text": texts, "text_pair": [None] * rows}, dtype=object)
    encoded = encode_rows(frame, "x", loaded.tokenizer, loaded.tokenizer_sha256, 32, tmp_path, by_word=True)
    batch = encoded.batch(np.arange(rows), 0, torch.device("cpu"))
    labels = lists([LABELS.index(tag) for tag in tags_of(text.split())] for text in texts)
    targets = torch.from_numpy(kind.targets(labels, batch))
    outputs = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    ours = kind.loss(outputs, targets) / kind.averaged_over(labels)
    theirs = model.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=targets).loss
    assert (targets != -100).sum() == sum(len(text.split()) for text in texts)
    torch.testing.assert_close(ours, theirs)
    by_row = list(kind.by_row(outputs.detach().numpy(), batch))
    assert [len(row) for row in by_row] == [len(text.split()) for text in texts]
    assert kind.predictions(by_row).tolist() == [
        outputs[n, 1 : 1 + len(text.split())].argmax(-1).tolist() for n, text in enumerate(texts)
    ]
