"""Cross-lingual retrieval: no training, mean-pooled states, cosine, accuracy of the nearest candidate.

Each language's sentences are looked up among the pivot's (English where the task has it), as in Tatoeba of XTREME (Hu
et al., 2020). Rows belong together by the task's id column.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from harness.attempts.attempt import Attempt, Outcome
from harness.devices.placement import attention_rule
from harness.errors import InputError
from harness.models.classify import encode
from harness.models.loaded import LoadedModel
from harness.records.trial import FinetuneJob
from harness.tasks.encoded import encode_rows, evaluation_batches
from harness.tasks.scoring import Predicted, score, selection_value, write_predictions
from harness.tasks.task_data import TaskData, load_task
from harness.trials.load import parents_sha256

ENCODING_BATCH = 64
"""Rows encoded at a time; fixed, as for evaluation elsewhere."""


def retrieve(attempt: Attempt, job: FinetuneJob, loaded: LoadedModel) -> Outcome:
    """Score the model as it is on every split that is there. Raises InputError where nothing can be looked up."""
    task = job.task
    pivot = "en" if "en" in task.languages else task.languages[0]
    queried = tuple(language for language in job.languages if language != pivot)
    if not queried:
        raise InputError(f"task {task.name}: retrieval needs a language besides {pivot}, its pivot")
    data = load_task(task, tuple(sorted({*queried, pivot})), attempt.site.sources)
    encoder = _Encoder(attempt, job, loaded, data)
    parts: list[Predicted] = []
    scores = []
    for split in dict.fromkeys(("dev", task.report)):
        if (split, pivot) not in data.frames:
            continue
        candidates = encoder.vectors(split, pivot)
        for language in queried:
            part = _look_up(data, split, language, pivot, encoder.vectors(split, language), candidates)
            both = f"{data.data_ids[split, language]} {data.data_ids[split, pivot]}"
            scores += score(task, part, hashlib.sha256(both.encode()).hexdigest(), None)
            parts.append(part)
    write_predictions(attempt.folder.predictions, task, parts)
    dev = [part for part in parts if part.split == "dev"]
    return Outcome(
        precision=attempt.precision,
        kernels={"attention": attention_rule(encoder.device, loaded.shape.model_type, trains=False)},
        scores=tuple(scores),
        dev_value=selection_value(task, dev) if dev else None,
        facts={"pivot": pivot, "pooling": "mean", "similarity": "cosine"},
        parents_sha256=parents_sha256(job.model, loaded),
    )


class _Encoder:
    """Sentence vectors of the task's rows."""

    def __init__(self, attempt: Attempt, job: FinetuneJob, loaded: LoadedModel, data: TaskData) -> None:
        self.device = attempt.site.torch_device
        self._bf16 = attempt.precision == "bf16"
        self._cache = attempt.site.sources.cache_dir
        self._length = job.recipe.length
        self._loaded = loaded
        self._data = data
        self._model = loaded.model.eval()
        self._model.set_attn_implementation(
            attention_rule(self.device, loaded.shape.model_type, trains=False)
        )
        self._model.to(device=self.device)

    def vectors(self, split: str, language: str) -> torch.Tensor:
        """(rows, width) float32 of length 1, on the CPU."""
        frame = self._data.frames[split, language]
        encoded = encode_rows(
            frame,
            self._data.data_ids[split, language],
            self._loaded.tokenizer,
            self._loaded.tokenizer_sha256,
            self._length,
            self._cache,
        )
        padding = int(self._loaded.tokenizer.pad_token_id or 0)
        vectors = torch.zeros(len(frame), self._loaded.shape.width)
        for rows in evaluation_batches(encoded.lengths, ENCODING_BATCH):
            batch = encoded.batch(rows, padding, self.device)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
                pooled = encode(self._model, batch.input_ids, batch.attention_mask)
            vectors[torch.from_numpy(rows)] = pooled.float().cpu()
        return functional.normalize(vectors, dim=-1)


def _look_up(
    data: TaskData, split: str, language: str, pivot: str, queries: torch.Tensor, candidates: torch.Tensor
) -> Predicted:
    """For each row of `language`, the nearest row of the pivot among those that both have."""
    queried, pivots = data.frames[split, language], data.frames[split, pivot]
    own, other = _aligned(queried, pivots)
    similarity = queries[torch.from_numpy(own)] @ candidates[torch.from_numpy(other)].T
    nearest = similarity.argmax(dim=1)
    right = torch.arange(len(own))
    scores = torch.stack([similarity[right, nearest], similarity[right, right]], dim=1)
    return Predicted(
        split,
        language,
        rows=queried["row"].to_numpy(np.int64)[own],
        labels=right.numpy(),
        predictions=nearest.numpy(),
        scores=scores.numpy(),
    )


def _aligned(queried: pd.DataFrame, pivots: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in both frames of the rows that belong together: by id, or by position where there are no ids."""
    if "id" not in queried:
        both = np.arange(min(len(queried), len(pivots)))
        return both, both
    place = {key: position for position, key in enumerate(pivots["id"])}
    pairs = [(position, place[key]) for position, key in enumerate(queried["id"]) if key in place]
    own, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return own, other
