"""Fine-tuning on SST-2: rows of like length together against every row padded to 128 tokens."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from torch.nn import functional

from benchmarks.conditions import Conditions, main
from benchmarks.engine import Engine
from benchmarks.rows import Row
from benchmarks.timing import alternate, faster
from benchmarks.world import SPECIAL, write_model
from harness.assets.asset import Asset, LocalSource
from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.base import RULE
from harness.devices.placement import attention_rule
from harness.models.classify import build_classifier
from harness.models.loading import load_folder
from harness.records.trial import FinetuneJob, FinetuneRecipe, ModelSource, Trial, trial_id
from harness.shapes import Shape
from harness.spec.catalog import Catalog
from harness.spec.entries import Columns, Split, Task, Teacher
from harness.spec.recipes import Resources
from harness.tasks.task_data import load_task
from harness.training.optimise import LinearSchedule, Optimiser
from harness.trials.finetune_rows import TaskRows

PADDED = 128
ROUND = 50
"""Steps per round: as many batches as the harness sorts together, so that every length is represented."""
PIECES = 8_000
DATA = "HARNESS_DATA"


def run(conditions: Conditions) -> Iterator[Row]:
    """Rounds of steps with batches of 32, the harness and the fixed padding in turn, students 3L-192."""
    task, sources, note = _task(conditions)
    job = _job(conditions, task, _model(conditions, task, sources))
    place = Site(conditions.folder / "runs", sources, conditions.device, checkpoint_seconds=float("inf"))
    resources = Resources(cpus=conditions.threads, gpus=float(conditions.device == "cuda"))
    trial = Trial(
        id=trial_id("finetune", job, {}, ()),
        id_rule=RULE,
        kind="finetune",
        recipe_version=1,
        job=job,
        data={},
        resources=resources,
    )
    steps = 2 if conditions.quick else ROUND
    engine, fixed = Engine([trial], place), FixedPadding(job, place)

    def round_of(step: Callable[[], object]) -> Callable[[], None]:
        def take() -> None:
            for _ in range(steps):
                step()

        return take

    sides = {"bucketed": round_of(engine.step), "fixed": round_of(fixed.step)}
    timings = alternate(sides, conditions)
    engine.close()
    yield faster(
        f"{steps} fine-tuning steps on SST-2 against padding to {PADDED}",
        "bucketed",
        "fixed",
        timings,
        1.5,
        note,
    )


class FixedPadding:
    """The same classifier, optimiser, rows and precision (fp32), with rows in random order and padded to 128 tokens."""

    def __init__(self, job: FinetuneJob, place: Site) -> None:
        assert job.model.shipped is not None
        source = job.model.shipped.asset.sources[0]
        assert isinstance(source, LocalSource)
        loaded = load_folder(Path(source.path))
        recipe = job.recipe
        self.device = place.torch_device
        self.rows = TaskRows(job, loaded, place).training()
        attention = attention_rule(self.device, loaded.shape.model_type, trains=True)
        self.model: Any = build_classifier(loaded, 2, dropout=recipe.dropout, seed=0, attention=attention)
        self.model.to(self.device).train()
        self.optimiser = Optimiser(
            self.model.named_parameters(),
            schedule=LinearSchedule(recipe.learning_rate, 0, 10**6),
            betas=recipe.betas,
            epsilon=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            clip_norm=recipe.clip_norm,
        )
        order = np.random.default_rng(0).permutation(len(self.rows.labels))
        size = recipe.batch_size
        batches = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
        self.batches = itertools.cycle(enumerate(batches))

    def step(self) -> None:
        number, chosen = next(self.batches)
        ids, mask, segments = self._padded(chosen)
        labels = torch.from_numpy(self.rows.labels[chosen]).to(self.device)
        functional.cross_entropy(self.model(ids, mask, segments), labels).backward()
        self.optimiser.step(number)

    def _padded(self, chosen: NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        encoded = self.rows.encoded
        arrays = [np.zeros((len(chosen), PADDED), dtype=np.int64) for _ in range(3)]
        for i, row in enumerate(chosen):
            start, end = encoded.offsets[row], encoded.offsets[row + 1]
            for array, values in zip(arrays, (encoded.ids, None, encoded.segments), strict=True):
                array[i, : end - start] = 1 if values is None else values[start:end]
        return tuple(torch.from_numpy(array).to(self.device) for array in arrays)


def _job(conditions: Conditions, task: Task, model: Teacher) -> FinetuneJob:
    recipe = FinetuneRecipe(
        learning_rate=1e-5, epochs=100, batch_size=4 if conditions.quick else 32, length=PADDED, warmup_ratio=0.0,
        weight_decay=0.01, betas=(0.9, 0.999), epsilon=1e-6, clip_norm=1.0, dropout=0.0, precision="fp32",
        train_rows=None, patience=None, select_on="dev",
    )  # fmt: skip
    return FinetuneJob(model=ModelSource(teacher=model), task=task, languages=("en",), recipe=recipe, seed=0)


def _task(conditions: Conditions) -> tuple[Task, Sources, str]:
    """SST-2 if the folder named by HARNESS_DATA has it, else rows of the same lengths."""
    named = os.environ.get(DATA)
    if named and (Path(named) / "glue" / "sst2").is_dir() and not conditions.quick:
        task = Catalog().get("tasks", "sst2", Task)[1]
        return task, Sources(conditions.cache, data_dir=Path(named), offline=True), ""
    note = (
        f"stand-in: random words in sentences about as long as SST-2's, since {DATA} names no folder with it"
    )
    return _stand_in(conditions.folder / "sst2"), Sources(conditions.cache), note


def _stand_in(folder: Path) -> Task:
    """Words per row: log-normal, median 7, mean a little over 9, as in SST-2's training split."""
    draw = random.Random(0)
    folder.mkdir()
    for split, rows in (("train", 30_000), ("dev", 800)):
        lines = []
        for number in range(rows):
            words = min(60, max(1, round(draw.lognormvariate(2.0, 0.75))))
            text = " ".join(f"w{draw.randrange(5_000)}" for _ in range(words))
            lines.append(f'{{"text": "{text} {number}", "label": {number % 2}}}')
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Task(
        name="sst2-lengths",
        suite="stand-in",
        assets={"data": Asset(sources=(LocalSource(path=str(folder)),))},
        splits={"train": Split(files="train.jsonl"), "dev": Split(files="dev.jsonl")},
        columns=Columns(text="text", label="label"),
        format="jsonl",
        labels={"negative": 0, "positive": 1},
        metrics=("accuracy",),
        report="dev",
    )


def _model(conditions: Conditions, task: Task, sources: Sources) -> Teacher:
    """Random weights of the size 3L-192 with a WordPiece vocabulary of the task's own text."""
    frame = load_task(task, ("en",), sources).frames["train", "en"]
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(
        frame["text"], vocab_size=PIECES, special_tokens=list(SPECIAL), show_progress=False
    )
    size = conditions.student("3L-192")
    shape = Shape(
        size.layers, size.width, size.heads, 4 * size.width, pieces.get_vocab_size(), "bert", mlm_head=True
    )
    folder = conditions.folder / "classifier"
    write_model(folder, shape, pieces)
    return Teacher(name="random-3l-192", asset=Asset(sources=(LocalSource(path=str(folder)),)))


if __name__ == "__main__":
    main("finetuning", run)
