"""Models fine-tuned for real on tiny tasks: scored by name, repeatable, resumable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from harness.attempts.attempt import Attempt
from harness.errors import TrialError
from harness.records.folder import TrialFolder
from harness.records.result import Progress, Result
from harness.records.trial import FinetuneJob
from harness.results.tables import progress_rows
from harness.results.verify import result_problems, score_problems
from harness.spec.entries import Columns, Split, Task
from harness.tasks.encoded import evaluation_batches, training_batches
from harness.tasks.scoring import Predicted, score
from harness.trials.run import run_trials

from .world import World, finetune_trial, is_of_the_senses, sentences, stop_after, verb_task, write_rows


@pytest.fixture(scope="module")
def task(world: World) -> Task:
    return verb_task(world.folder / "verbs")


@pytest.fixture(scope="module")
def learnt(world: World, task: Task) -> Result:
    """The task learnt once, in the folder `learnt`."""
    [result] = run_trials([finetune_trial(world, task)], world.site("learnt"))
    assert result.status == "ok", result.error
    return result


def predictions(world: World, name: str, result: Result) -> pd.DataFrame:
    return pd.read_parquet(TrialFolder.of(world.site(name).runs_dir, result.trial_id).predictions)


def test_a_simple_task_is_learnt(learnt: Result) -> None:
    by_metric = {one.metric: one.value for one in learnt.scores if one.split == "test"}
    assert by_metric["accuracy"] is not None
    assert by_metric["accuracy"] > 0.9


def test_scores_are_those_of_the_predictions_that_were_kept(world: World, learnt: Result) -> None:
    frame = predictions(world, "learnt", learnt)
    for one in learnt.scores:
        rows = frame[(frame["split"] == one.split) & (frame["language"] == one.language)]
        expected = {"accuracy": accuracy_score, "f1": f1_score}[one.metric](rows["label"], rows["prediction"])
        assert one.value == pytest.approx(expected)
        assert one.n == len(rows) == 48
        assert len(one.data_id) == 64


def test_predictions_stand_beside_the_rows_they_belong_to(world: World, learnt: Result) -> None:
    frame = predictions(world, "learnt", learnt)
    test = frame[frame["split"] == "test"].sort_values("row")
    assert test["label"].tolist() == [int(is_of_the_senses(text)) for text in sentences(288)[240:]]
    assert (np.stack(test["scores"].to_numpy()).argmax(axis=1) == test["prediction"]).all()


def test_scores_by_rarity_are_of_the_reported_rows(world: World, learnt: Result) -> None:
    """Every word of the tiny world is a piece, so that all rows are equally common and stay in one quarter."""
    reported = {score.metric: score for score in learnt.scores if score.split == "test"}
    assert {one.metric: one.value for one in learnt.rarity} == {m: s.value for m, s in reported.items()}
    assert {(one.quarter, one.low, one.high, one.n) for one in learnt.rarity} == {(1, 0.0, 0.0, 48)}


def test_fine_tuning_twice_gives_the_same_scores_to_the_last_bit(
    world: World, task: Task, learnt: Result
) -> None:
    [again] = run_trials([finetune_trial(world, task)], world.site("again"))
    assert again.scores == learnt.scores
    assert again.facts == learnt.facts
    pd.testing.assert_frame_equal(predictions(world, "again", again), predictions(world, "learnt", learnt))


@pytest.mark.parametrize("steps", [12, 37])
def test_an_interrupted_trial_ends_with_the_same_scores(
    steps: int, world: World, task: Task, learnt: Result, tmp_path: Path
) -> None:
    trial = finetune_trial(world, task)
    with pytest.raises(TrialError) as stopped:
        run_trials([trial], world.site(str(tmp_path), stop=stop_after(steps)))
    assert stopped.value.reason == "interrupted"
    [resumed] = run_trials([trial], world.site(str(tmp_path)))
    assert resumed.scores == learnt.scores
    assert resumed.facts == learnt.facts
    assert (resumed.resumed, resumed.tokens) == (1, learnt.tokens)
    pd.testing.assert_frame_equal(
        predictions(world, str(tmp_path), resumed), predictions(world, "learnt", learnt)
    )


def test_another_seed_is_another_run(world: World, task: Task, learnt: Result, tmp_path: Path) -> None:
    [other] = run_trials([finetune_trial(world, task, seed=1)], world.site(str(tmp_path)))
    mine, theirs = predictions(world, str(tmp_path), other), predictions(world, "learnt", learnt)
    assert not np.array_equal(np.stack(mine["scores"].to_numpy()), np.stack(theirs["scores"].to_numpy()))


def test_the_best_epoch_is_reported_and_patience_ends_early(world: World, task: Task, tmp_path: Path) -> None:
    trial = finetune_trial(world, task, epochs=12, patience=1, learning_rate=1e-2)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    values = result.facts["dev_by_epoch"]
    assert result.dev_value == max(values) == values[result.facts["best_epoch"] - 1]
    assert result.facts["best_epoch"] == len(values) - 1
    assert result.facts["stopped_early"]
    assert result.facts["steps"] == len(values) * 12


def test_long_predictions_tell_how_far_they_are(
    world: World, task: Task, learnt: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attempt, "line_due", True)
    [result] = run_trials([finetune_trial(world, task)], world.site(str(tmp_path)))
    assert result.scores == learnt.scores
    file = TrialFolder.of(tmp_path, result.trial_id).progress_file
    lines = [Progress.model_validate_json(line) for line in file.read_text().splitlines()]
    said = [line.doing for line in lines if line.doing]
    assert said[0] == "predicts dev en, 0 of 48 rows"
    assert said[-1] == "predicts test en, 0 of 48 rows"
    assert len(progress_rows(result.trial_id, lines)) == len({line.step for line in lines})


def test_no_weights_are_kept(world: World, learnt: Result) -> None:
    folder = TrialFolder.of(world.site("learnt").runs_dir, learnt.trial_id)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "predictions.parquet", "progress.jsonl", "result.json", "trial.json",
    ]  # fmt: skip
    assert learnt.weights_sha256 is None


def test_rows_of_train_select_where_dev_is_reported(world: World, task: Task, tmp_path: Path) -> None:
    hidden = task.model_copy(update={"report": "dev"})
    trial = finetune_trial(world, hidden, select_on="train_holdout", epochs=1)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    by_split = {one.split: one for one in result.scores}
    assert by_split.keys() == {"train_holdout", "dev"}
    assert by_split["dev"].flags == ("dev_as_test",)
    assert by_split["train_holdout"].n + result.facts["train_rows"] == 192


def test_selecting_on_the_reported_rows_is_disclosed(world: World, task: Task, tmp_path: Path) -> None:
    trial = finetune_trial(world, task.model_copy(update={"report": "dev"}), epochs=1)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert {one.flags for one in result.scores} == {("dev_as_test", "selected_on_reported_rows")}


def test_numbers_are_learnt_by_regression(world: World, tmp_path: Path) -> None:
    rows = [{"text": text, "score": 5.0 * is_of_the_senses(text)} for text in sentences(240)]
    asset = write_rows(tmp_path / "task", {"train.jsonl": rows[:192], "dev.jsonl": rows[192:]})
    task = Task(
        name="numbers", suite="tiny", type="regression", assets={"data": asset}, format="jsonl", report="dev",
        splits={"train": Split(files="train.jsonl"), "dev": Split(files="dev.jsonl")},
        columns=Columns(text="text", label="score"), metrics=("pearson", "spearman"),
    )  # fmt: skip
    [result] = run_trials([finetune_trial(world, task, epochs=10)], world.site(str(tmp_path)))
    assert result.dev_value is not None
    assert result.dev_value > 0.8


def test_every_language_asked_for_is_scored(world: World, tmp_path: Path) -> None:
    files = {}
    for language in ("en", "de", "fr"):
        rows = [{"text": text, "label": int(is_of_the_senses(text))} for text in sentences(96)]
        for split, part in (("train", rows[:64]), ("dev", rows[64:80]), ("test", rows[80:])):
            files[f"{split}.{language}.jsonl"] = part
    task = Task(
        name="crossing", suite="tiny", assets={"data": write_rows(tmp_path / "task", files)}, format="jsonl",
        splits={split: Split(files=split + ".{language}.jsonl") for split in ("train", "dev", "test")},  # type: ignore[misc]
        columns=Columns(text="text", label="label"), labels={"no": 0, "yes": 1}, metrics=("accuracy",),
        languages=("en", "de", "fr"),
    )  # fmt: skip
    trial = finetune_trial(world, task, languages=("de", "en", "fr"), select_on="dev_en", epochs=1)
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert {(one.split, one.language) for one in result.scores} == {
        (split, language) for split in ("dev", "test") for language in ("de", "en", "fr")
    }
    english = next(one for one in result.scores if (one.split, one.language) == ("dev", "en"))
    assert result.dev_value == english.value


def test_retrieval_finds_the_same_sentence_and_trains_nothing(world: World, tmp_path: Path) -> None:
    text = sentences(40)
    files = {
        "test.en.jsonl": [{"id": n, "text": line} for n, line in enumerate(text)],
        "test.de.jsonl": [{"id": n, "text": line} for n, line in reversed(list(enumerate(text)))][:30],
        "test.fr.jsonl": [{"id": n, "text": text[(n + 1) % 40]} for n in range(40)],
    }
    task = Task(
        name="same", suite="tiny", type="retrieval", assets={"data": write_rows(tmp_path / "task", files)},
        format="jsonl", splits={"test": Split(files="test.{language}.jsonl")},
        columns=Columns(text="text", id="id"), metrics=("accuracy@1",), languages=("en", "de", "fr"),
    )  # fmt: skip
    trial = finetune_trial(world, task, languages=("de", "en", "fr"))
    [result] = run_trials([trial], world.site(str(tmp_path)))
    assert result.status == "ok", result.error
    assert {one.language: (one.value, one.n) for one in result.scores} == {"de": (1.0, 30), "fr": (0.0, 40)}
    assert (result.tokens, result.facts["pivot"]) == (None, "en")


def test_an_accuracy_far_below_chance_is_flagged(task: Task) -> None:
    labels = np.array([0, 1] * 50)
    for predicted, expected in ((1 - labels, ("far_below_chance",)), (np.zeros_like(labels), ())):
        part = Predicted(
            "test", "en", np.arange(100), labels, predicted, np.zeros((100, 2), dtype=np.float32)
        )
        accuracy = next(one for one in score(task, part, "0" * 64, "dev") if one.metric == "accuracy")
        assert accuracy.flags == expected


def test_a_metric_that_is_undefined_is_null(world: World, tmp_path: Path) -> None:
    part = Predicted(
        "dev", "en", np.arange(3), np.array([1.0, 2.0, 3.0]), np.ones(3), np.ones((3, 1), np.float32)
    )
    task = Task(
        name="numbers", suite="tiny", type="regression", report="dev", metrics=("pearson",),
        assets={"data": write_rows(tmp_path / "task", {})},
        splits={"train": Split(files="a"), "dev": Split(files="b")}, columns=Columns(text="t", label="l"),
    )  # fmt: skip
    assert [one.value for one in score(task, part, "0" * 64, "dev")] == [None]


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 4), (7, 3), (1000, 8)])
def test_an_epoch_holds_every_row_once_in_full_batches(rows: int, batch_size: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 60, rows)
    batches = training_batches(lengths, batch_size, seed=5, epoch=2)
    assert sorted(np.concatenate(batches).tolist()) == list(range(rows))
    assert len(batches) == -(-rows // batch_size)
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


def test_length_bucketing_saves_most_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 120, 4000)

    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * int(lengths[batch].max()) for batch in batches)

    bucketed = padded(training_batches(lengths, 16, seed=0, epoch=0))
    shuffled = padded(np.split(np.random.default_rng(0).permutation(4000), 250))
    assert bucketed < 1.05 * lengths.sum() < 0.7 * shuffled


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    lengths = np.full(64, 7)
    orders = {
        tuple(np.concatenate(training_batches(lengths, 8, seed, epoch)))
        for seed in (0, 1) for epoch in (0, 1)
    }  # fmt: skip
    assert len(orders) == 4


def test_evaluation_takes_the_same_rows_together_whatever_was_trained() -> None:
    lengths = np.array([5, 9, 5, 2, 9])
    assert [batch.tolist() for batch in evaluation_batches(lengths, 2)] == [[1, 4], [0, 2], [3]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"select_on": "dev_en"}, "dev rows in en"), ({"length": 100}, "the model's 64 positions")],
)
def test_what_cannot_be_done_is_named_before_training(
    changes: dict[str, object], message: str, world: World, task: Task, tmp_path: Path
) -> None:
    german = task.model_copy(update={"languages": ("de",), "train_languages": ("de",)})
    [result] = run_trials([finetune_trial(world, german, ("de",), **changes)], world.site(str(tmp_path)))
    assert result.error is not None
    assert message in result.error.message
    assert not TrialFolder.of(tmp_path, result.trial_id).progress_file.exists()


def test_verify_sees_predictions_of_another_order_of_labels_and_scores_of_another_split(
    world: World, task: Task, learnt: Result
) -> None:
    folder = TrialFolder.of(world.site("learnt").runs_dir, learnt.trial_id)
    trial = folder.read_trial()
    assert trial is not None
    assert isinstance(trial.job, FinetuneJob)

    def problems(**changes: object) -> list[str]:
        assert isinstance(trial.job, FinetuneJob)
        job = trial.job.model_copy(update={"task": trial.job.task.model_copy(update=changes)})
        other = trial.model_copy(update={"job": job})
        return [*result_problems(other, learnt), *score_problems(other, learnt, folder.predictions)]

    assert problems() == []
    assert any("of the labels" in one for one in problems(labels=dict(reversed(task.labels.items()))))
    assert any("not flagged dev_as_test" in one for one in problems(report="dev"))
    unscored = learnt.model_copy(update={"scores": tuple(s for s in learnt.scores if s.split == "dev")})
    assert any("of which it has no score" in one for one in result_problems(trial, unscored))
