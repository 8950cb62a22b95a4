"""Fine-tune one model on one task at one setting with one seed; score it at its best epoch; keep no weights.

each epoch:   batches of similar length -> classifier -> AdamW, then the rows that select are predicted
at the end:   the best epoch's weights predict dev and the reported split in every language
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.cadence import Cadence, stop_or_save
from harness.attempts.faults import NotFiniteError, TrialInterruptedError
from harness.attempts.site import Site
from harness.devices.placement import attention_rule
from harness.flops import BACKWARD
from harness.kinds import FineTunedKind, UntrainedKind
from harness.models.classify import Classifier, build_classifier
from harness.models.first_token import compute_first_token_only
from harness.models.loaded import LoadedModel
from harness.models.reached import keep_reached, with_whole_table
from harness.records.result import Score
from harness.records.trial import FinetuneJob, Trial
from harness.tasks.encoded import PaddedRows, evaluation_batches, training_batches
from harness.tasks.rarity import rarity_scores
from harness.tasks.scoring import Predicted, score, selection_value, write_predictions
from harness.training.optimise import LinearSchedule, Optimiser
from harness.training.state import TrainingState
from harness.trials.finetune_rows import Part, Rows, TaskRows
from harness.trials.halving import standing_of
from harness.trials.load import load_source, parents_sha256

EVALUATION_BATCH = 64
"""Rows predicted at a time; fixed, since in low precision a row's score depends on the shape of its batch."""


def finetune(attempt: Attempt, site: Site) -> None:
    """Run one `finetune` trial to its result."""
    job = attempt.trial.job
    assert isinstance(job, FinetuneJob)
    with attempt.working():
        saved = attempt.begin()
        standing = standing_of(job.rung, site.runs_dir)
        if standing is not None and not standing.goes_on:
            attempt.prune(standing.facts)
            return
        attempt.settle_precision(job.recipe.precision, saved)
        loaded = load_source(job.model, site)
        if isinstance(job.task.kind, UntrainedKind):
            outcome = job.task.kind.evaluate(attempt, job, loaded)
        else:
            run = _FineTuning(attempt, job, loaded)
            run.state.restore(saved)
            try:
                run.train()
            except NotFiniteError as error:
                if job.counts:
                    raise
                attempt.prune({"gave_up": str(error)})  # one of several settings, and it has lost
                return
            outcome = run.outcome(parents_sha256(job.model, loaded))
        attempt.succeed(outcome if standing is None else outcome.with_facts(standing.facts))


@dataclass(frozen=True)
class FineTuned:
    """A model with the head that a trial trains."""

    classifier: Classifier
    """On CPU, float32, with the whole vocabulary; of the best epoch."""
    loaded: LoadedModel
    """The encoder before fine-tuning, with its tokenizer."""
    rows: TaskRows
    scores: tuple[Score, ...]
    """Its own, of dev and of the reported split."""


def fine_tune_again(trial: Trial, site: Site) -> FineTuned:
    """Do what a `finetune` trial does, in its folder below `site`, and keep the weights, which a trial drops."""
    attempt = Attempt(trial, site)
    job = trial.job
    assert isinstance(job, FinetuneJob)
    with attempt.working():
        attempt.settle_precision(job.recipe.precision, attempt.begin())
        loaded = load_source(job.model, site)
        run = _FineTuning(attempt, job, loaded)
        run.train()
        outcome = run.outcome({})
    return FineTuned(run.classifier(), loaded, run.rows, outcome.scores)


def predict(
    outputs_of: Callable[[PaddedRows], NDArray[np.float32]],
    kind: FineTunedKind,
    part: Part,
    rows: Rows,
    *,
    padding: int,
    device: torch.device,
    doing: Callable[[str], None] = lambda _: None,
) -> Predicted:
    """Predictions on one split in one language, in the order of its rows. `outputs_of` gives the float32 outputs of a
    padded batch, (rows, ..., outputs); `doing` hears how far it is."""
    outputs: dict[int, NDArray[np.float32]] = {}
    for done, chosen in enumerate(evaluation_batches(rows.encoded.lengths, EVALUATION_BATCH)):
        doing(f"predicts {part[0]} {part[1]}, {done * EVALUATION_BATCH:,} of {len(rows.labels):,} rows")
        batch = rows.encoded.batch(chosen, padding, device)
        outputs.update(zip(chosen.tolist(), kind.by_row(outputs_of(batch), batch), strict=True))
    ordered = [outputs[row] for row in range(len(rows.labels))]
    return Predicted(*part, rows.numbers, rows.labels, kind.predictions(ordered), ordered)


class _FineTuning:
    """A model and its head under training."""

    def __init__(self, attempt: Attempt, job: FinetuneJob, loaded: LoadedModel) -> None:
        recipe, task = job.recipe, job.task
        self.attempt = attempt
        self.job = job
        self.device = attempt.site.torch_device
        self.rows = TaskRows(job, loaded, attempt.site)
        self.train_rows = self.rows.training()
        self.padding = int(loaded.tokenizer.pad_token_id or 0)
        assert isinstance(task.kind, FineTunedKind)
        self.kind = task.kind
        self.loaded = loaded
        self.attention = attention_rule(self.device, loaded.shape.model_type, trains=True)
        self.model = self._untrained()
        keep_reached(self.model.model, np.append(self.rows.token_ids(), self.padding))
        if self.kind.reads_first_token:
            compute_first_token_only(self.model.model)
        self.model.to(self.device)
        self.per_epoch = math.ceil(len(self.train_rows.labels) / recipe.batch_size)
        steps = self.per_epoch * recipe.epochs
        optimiser = Optimiser(
            self.model.named_parameters(),
            schedule=LinearSchedule(recipe.learning_rate, round(recipe.warmup_ratio * steps), steps),
            betas=recipe.betas,
            epsilon=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            clip_norm=recipe.clip_norm,
        )
        self.state = TrainingState(attempt, self.model, optimiser, seed=job.seed)
        self.steps = steps
        self.shape = loaded.shape
        self._selected: dict[Part, Predicted] = {}
        """Predictions of the best epoch on the rows that select; empty after a resumption, then predicted again."""
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the highest selection value, the first among equals."""
        values = [-math.inf if value is None else value for value in self.state.dev_by_epoch]
        return values.index(max(values))

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or `patience` of them have passed without a better one."""
        patience = self.job.recipe.patience
        epochs = len(self.state.dev_by_epoch)
        waited = epochs - 1 - self.best_epoch if epochs else 0
        return self.state.step >= self.steps or (patience is not None and waited >= patience)

    def train(self) -> None:
        """Train to the end. Raises TrialInterruptedError, everything saved, where the site says stop."""
        site = self.attempt.site
        cadence = Cadence(least=site.checkpoint_seconds)
        while not self.is_over:
            with self.attempt.training():
                self._take_step()
            if self.state.step % self.per_epoch == 0:
                self._end_epoch()
            stop_or_save(site, cadence, self.state.save, self._interrupted)

    def classifier(self) -> Classifier:
        """The weights of the best epoch under the whole vocabulary: rows that no text of the task reached are as they
        were."""
        whole = self._untrained()
        whole.load_state_dict(with_whole_table(self.state.best, self.model.model, whole.model))
        return whole.eval()

    def outcome(self, parents: dict[str, str]) -> Outcome:
        """Predict with the best epoch's weights, write the predictions and score them."""
        self.model.load_state_dict(self.state.best)
        parts = [self._selected.get(part) or self._predict(part) for part in self.rows.predicted]
        write_predictions(self.attempt.folder.predictions, self.job.task, parts)
        select_on = self.job.recipe.select_on
        scores = [
            outcome
            for part in parts
            for outcome in score(
                self.job.task,
                part,
                self.rows.data.data_ids[part.split, part.language],
                select_on,
                partial=(part.split, part.language) in self.rows.partial,
                shared=self.rows.shared.get((part.split, part.language), 0),
            )
        ]
        return Outcome(
            precision=self.attempt.precision,
            kernels={
                "attention": self.attention,
                "optimiser": "fused AdamW",
            },
            tokens=self.state.tokens,
            flops=self.state.flops,
            scores=tuple(scores),
            rarity=tuple(
                one
                for part in parts
                if self.job.counts and part.split == self.job.task.report
                for one in rarity_scores(
                    self.job.task, part, self.rows.split_shares((part.split, part.language))
                )
            ),
            dev_value=self.state.dev_by_epoch[self.best_epoch],
            flags=self.state.flags,
            facts={
                "select_on": select_on,
                "best_epoch": self.best_epoch + 1,
                "dev_by_epoch": self.state.dev_by_epoch,
                "steps": self.state.step,
                "train_rows": len(self.train_rows.labels),
                "stopped_early": self.state.step < self.steps,
                **self._cut(),
            },
            parents_sha256=parents,
        )

    def _cut(self) -> dict[str, int]:
        """How many words of training sentences were cut off, where rows are of words."""
        pieces = self.train_rows.encoded.pieces
        return {} if pieces is None else {"train_words_cut": int(np.count_nonzero(pieces < 0))}

    def _untrained(self) -> Classifier:
        """The encoder with a head as drawn."""
        outputs = self.kind.outputs(self.job.task)
        return build_classifier(
            self.loaded,
            len(outputs),
            dropout=self.job.recipe.dropout,
            seed=self.job.seed,
            labels=outputs,
            attention=self.attention,
            head=self.kind.head,
        )

    def _interrupted(self) -> TrialInterruptedError:
        return TrialInterruptedError(self.attempt.trial.title, self.state.step)

    def _take_step(self) -> None:
        epoch, index = divmod(self.state.step, self.per_epoch)
        if self._epoch[0] != epoch:
            lengths = self.train_rows.encoded.lengths
            self._epoch = (epoch, training_batches(lengths, self.job.recipe.batch_size, self.job.seed, epoch))
        rows = self._epoch[1][index]
        encoded = self.train_rows.encoded
        forward = self.kind.forward_flops(self.shape, len(rows), encoded.padded_length(rows))
        self.state.advance(
            len(rows),
            partial(self._learn, rows),
            [self.kind.loss_name],
            tokens=int(encoded.lengths[rows].sum()),
            flops=(1 + BACKWARD) * forward,
        )

    def _learn(self, rows: NDArray[np.int64], size: int | None) -> Tensor:
        """Forward and backward in parts of at most `size` rows; (2,) the loss under both its names."""
        self.model.train()
        loss_of_batch = torch.zeros((), device=self.device)
        labels = self.train_rows.labels
        count = self.kind.averaged_over(labels[rows])
        with self.state.drawing():
            for start in range(0, len(rows), size or len(rows)):
                part = rows[start : start + (size or len(rows))]
                batch = self.train_rows.encoded.batch(part, self.padding, self.device)
                targets = torch.from_numpy(self.kind.targets(labels[part], batch)).to(self.device)
                loss = self.kind.loss(self._outputs(batch), targets) / count
                loss.backward()
                loss_of_batch += loss.detach()
        return torch.stack([loss_of_batch, loss_of_batch])

    def _outputs(self, batch: PaddedRows) -> Tensor:
        """(rows, outputs) or (rows, tokens, outputs) float32."""
        with self.state.autocast():
            outputs: Tensor = self.model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
        return outputs.float()

    def _end_epoch(self) -> None:
        """Predict the rows that select; keep the weights where they do better than before."""
        parts = {part: self._predict(part) for part in self.rows.selecting}
        self.state.dev_by_epoch.append(selection_value(self.job.task, list(parts.values())))
        if self.best_epoch == len(self.state.dev_by_epoch) - 1:
            self._selected = parts
            self.state.best = {name: t.detach().cpu().clone() for name, t in self.model.state_dict().items()}

    @torch.no_grad()
    def _predict(self, part: Part) -> Predicted:
        """Predictions on one split in one language, in the order of its rows."""
        self.model.eval()
        return predict(
            lambda batch: self._outputs(batch).cpu().numpy(),
            self.kind,
            part,
            self.rows.part(part),
            padding=self.padding,
            device=self.device,
            doing=self.state.log.doing,
        )
