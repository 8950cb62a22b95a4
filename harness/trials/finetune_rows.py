"""The rows of a fine-tuning trial: which train it, which choose its best epoch, which are reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.attempts.site import Site
from harness.errors import InputError
from harness.models.loaded import LoadedModel
from harness.records.trial import FinetuneJob
from harness.tasks.encoded import Encoded, encode_rows
from harness.tasks.rarity import split_shares
from harness.tasks.shared_rows import counted_shared
from harness.tasks.task_data import load_task

Part = tuple[str, str]
"""(split, language)."""


@dataclass(frozen=True)
class Rows:
    """Tokenised rows of one split in one language."""

    encoded: Encoded
    labels: NDArray[np.generic]
    """(rows,) of the type that the kind of task has: class indices, numbers, or lists."""
    numbers: NDArray[np.int64]
    """Position of each row in the file read."""


class TaskRows:
    """The rows of a task that one trial reads. Raises InputError where the rows that should select are not there."""

    def __init__(self, job: FinetuneJob, loaded: LoadedModel, site: Site) -> None:
        loaded.require_length(job.recipe.length)
        whole = load_task(job.task, job.languages, site.sources)
        self.shared = counted_shared(whole.frames, whole.data_ids, site.sources.cache_dir)
        """How many rows of what is scored stand in the training rows too."""
        data = whole.with_train_rows(job.recipe.train_rows)
        data = data.with_eval_rows(job.recipe.eval_rows, job.recipe.dev_rows)
        data = data.with_train_holdout() if job.recipe.select_on == "train_holdout" else data
        self.data = data.with_train_share(job.rung.share if job.rung else 1)
        self.partial = {part for part in whole.frames if len(data.frames[part]) < len(whole.frames[part])}
        """What only some rows are predicted of (training splits are among them)."""
        self.selecting = self._selecting(job)
        """What chooses the best epoch."""
        self.predicted = self._predicted(job)
        """What is predicted and scored in the end; the selecting parts come first."""
        self._job = job
        self._loaded = loaded
        self._cache = site.sources.cache_dir
        self._rows: dict[Part, Rows] = {}

    def part(self, part: Part) -> Rows:
        """The rows of one split in one language, tokenised once."""
        if part not in self._rows:
            frame = self.data.frames[part]
            encoded = encode_rows(
                frame,
                self.data.data_ids[part],
                self._loaded.tokenizer,
                self._loaded.tokenizer_sha256,
                self._job.recipe.length,
                self._cache,
                by_word=self._job.task.kind.reads_words,
            )
            labels = frame["label"].to_numpy(self._job.task.kind.label_dtype)
            self._rows[part] = Rows(encoded, labels, frame["row"].to_numpy(np.int64))
        return self._rows[part]

    def split_shares(self, part: Part) -> NDArray[np.float64]:
        """(rows,) share of words that the tokenizer splits, of one split in one language."""
        frame = self.data.frames[part]
        return split_shares([frame["text"].tolist(), frame["text_pair"].tolist()], self._loaded.tokenizer)

    def training(self) -> Rows:
        """The training rows of all training languages, one after the other."""
        parts = [self.part(("train", language)) for language in self.data.languages("train")]
        return Rows(
            Encoded.joined([part.encoded for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.numbers for part in parts]),
        )

    def token_ids(self) -> NDArray[np.int32]:
        """Every token id of every row that is trained on or predicted, ascending."""
        parts = [("train", language) for language in self.data.languages("train")]
        return np.unique(np.concatenate([self.part(part).encoded.ids for part in (*parts, *self.predicted)]))

    def _selecting(self, job: FinetuneJob) -> tuple[Part, ...]:
        select_on = job.recipe.select_on
        if select_on == "train_holdout":
            return tuple(("train_holdout", code) for code in self.data.languages("train_holdout"))
        wanted = ("en",) if select_on == "dev_en" else job.languages
        missing = [code for code in wanted if ("dev", code) not in self.data.frames]
        if missing:
            there = ", ".join(self.data.languages("dev")) or "none"
            raise InputError(
                f"task {job.task.name}: select_on: {select_on} needs dev rows in {', '.join(missing)}; "
                f"there are: {there}"
            )
        return tuple(("dev", code) for code in wanted)

    def _predicted(self, job: FinetuneJob) -> tuple[Part, ...]:
        if not job.counts:
            return self.selecting  # a setting is chosen without reported rows
        asked = [(split, code) for split in ("dev", job.task.report) for code in job.languages]
        return tuple(dict.fromkeys([*self.selecting, *(part for part in asked if part in self.data.frames)]))
