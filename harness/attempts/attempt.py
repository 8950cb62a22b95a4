"""One attempt at a trial: its folder, its checkpoints, what it reports while it runs, and its result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from harness.attempts.checkpoints import Checkpoints
from harness.attempts.faults import end_if_device_is_lost, failure_of
from harness.attempts.saved import Accounts, Saved, SavedFacts, TrainingFacts, read_facts
from harness.attempts.site import Site
from harness.devices import provenance
from harness.devices.matmul import matmul_peak
from harness.devices.placement import Resolved, resolve_precision
from harness.records.analysis import Analysis
from harness.records.folder import TrialFolder
from harness.records.rarity import RarityScore
from harness.records.result import FP32_AFTER_NAN, Measurement, Progress, Result, Score
from harness.records.trial import Trial
from harness.spec.plugins import plugins_of
from harness.spec.recipes import Precision


@dataclass(frozen=True)
class Outcome:
    """What a successful trial reports; fields as in `harness.records.result.Result`."""

    precision: str
    kernels: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = None
    flops: int | None = None
    weights_sha256: str | None = None
    scores: tuple[Score, ...] = ()
    dev_value: float | None = None
    measurements: tuple[Measurement, ...] = ()
    rarity: tuple[RarityScore, ...] = ()
    analysis: Analysis | None = None
    flags: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    parents_sha256: Mapping[str, str] = field(default_factory=dict)

    def with_flags(self, more: tuple[str, ...]) -> Outcome:
        """A copy with further flags."""
        return replace(self, flags=(*self.flags, *more))

    def with_facts(self, more: Mapping[str, Any]) -> Outcome:
        """A copy with further facts."""
        return replace(self, facts={**self.facts, **more})


class Attempt:
    """One trial under way in its folder. The members of a cohort divide the seconds that are spent on all of them."""

    def __init__(self, trial: Trial, site: Site) -> None:
        self.trial = trial
        self.site = site
        self._writes = site.workers.leads
        """Only the first of several workers writes to the folder."""
        self.folder = TrialFolder.of(site.runs_dir, trial.id)
        self.checkpoints = Checkpoints(self.folder.checkpoint)
        self.started_at = time.time()
        self._seconds = 0.0
        self._working_since: float | None = None
        self.training_seconds = 0.0
        """Seconds of it spent on training steps."""
        self.resumed = 0
        self.damaged: tuple[int, ...] = ()
        """Steps of checkpoints that could not be read."""
        self.precision: str = "unresolved"
        """What it computes in, fp32 or bf16, once that is settled."""
        self.fallbacks: tuple[str, ...] = ()
        """Flags of fallbacks after an earlier attempt, e.g. `fp32_after_nan:120`."""
        self.result: Result | None = None
        """The result, once the attempt has ended."""
        self._next_line = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of work, over all resumptions."""
        running = 0.0 if self._working_since is None else time.monotonic() - self._working_since
        return self._seconds + running

    @contextmanager
    def working(self, share: float = 0.0) -> Iterator[None]:
        """Count the time inside as this trial's, and `share`: its part, in seconds, of work done for several trials."""
        self._seconds += share
        self._working_since = time.monotonic()
        try:
            yield
        finally:
            self._seconds, self._working_since = self.seconds, None

    @contextmanager
    def training(self, share: float = 0.0) -> Iterator[None]:
        """Inside `working`, count the time as training time too, and `share` seconds as both."""
        started = time.monotonic()
        self._seconds += share
        try:
            yield
        finally:
            self.training_seconds += share + time.monotonic() - started

    def avoid_bf16(self, step: int) -> None:
        """Call before `begin`: start afresh in fp32, since a loss of the last attempt was not finite at `step`."""
        if self._writes:
            self.checkpoints.clear()
        self.fallbacks = (f"{FP32_AFTER_NAN}:{step}",)

    def reach_milestones(self) -> None:
        """Before `begin`: start afresh where the last attempt has passed a milestone that was added since."""
        missing = [step for step in self.trial.milestones if not self.folder.milestone(step).is_dir()]
        if self._writes and missing and missing[0] <= max(self.checkpoints.steps, default=0):
            self.checkpoints.clear()

    def begin(self) -> Saved | None:
        """Write trial.json and drop the result of a failed attempt; the newest good checkpoint, None to start afresh."""
        if self._writes:
            self.folder.write_trial(self.trial)
            (self.folder.path / "result.json").unlink(missing_ok=True)
        any_saved = bool(self.checkpoints.steps)
        checkpoint = self.checkpoints.load(lambda facts: read_facts(facts, self.trial.id) is not None)
        facts = read_facts(checkpoint.facts, self.trial.id) if checkpoint is not None else None
        if checkpoint is None or facts is None:
            self.damaged = (0,) if any_saved else ()
            return None
        self.started_at = facts.accounts.started_at
        self._seconds += facts.accounts.seconds
        self.training_seconds = facts.accounts.training_seconds
        self.resumed = facts.accounts.resumed + 1
        self.fallbacks = facts.accounts.fallbacks
        self.damaged = checkpoint.damaged
        return Saved(checkpoint, facts)

    def drop(self, saved: Saved) -> None:
        """Start afresh after all, since the tensors of `saved` are not those of this trial."""
        self.damaged = (*self.damaged, saved.step)
        self.training_seconds, self.resumed = 0.0, 0
        if self._writes:
            self.checkpoints.clear()

    def settle_precision(self, precision: Precision, saved: Saved | None) -> Resolved:
        """What the trial computes in from now on: that of its checkpoint where it has one, fp32 where bf16 has
        failed, else by rule."""
        settled: Resolved
        if saved is not None:
            settled = saved.precision
        elif self.fallbacks:
            settled = "fp32"
        else:
            settled = resolve_precision(precision, self.site.torch_device)
        self.precision = settled
        return settled

    def save(self, step: int, tensors: Mapping[str, Tensor], training: TrainingFacts) -> None:
        """Write a checkpoint of `step` steps done."""
        if not self._writes:
            return
        accounts = Accounts(
            started_at=self.started_at,
            seconds=self.seconds,
            training_seconds=self.training_seconds,
            resumed=self.resumed,
            fallbacks=self.fallbacks,
        )
        facts = SavedFacts(trial=self.trial.id, accounts=accounts, training=training)
        self.checkpoints.save(step, tensors, facts.model_dump())

    @property
    def line_due(self) -> bool:
        """Whether a line of progress is due: every second at first, less often the longer the trial runs."""
        return time.monotonic() >= self._next_line

    def report(self, progress: Progress) -> None:
        """Add a line to progress.jsonl."""
        self._next_line = time.monotonic() + max(1.0, self.seconds / 300)
        if self._writes:
            self.folder.append_progress(progress)

    def succeed(self, outcome: Outcome) -> Result:
        """Write result.json and drop the checkpoints."""
        peak = self._matmul_peak(outcome) if outcome.flops else None
        rate = self._rate(outcome.flops)
        damaged = tuple(f"corrupt_checkpoint:{step}" for step in self.damaged)
        result = self._result(
            status="ok",
            precision=outcome.precision,
            matmul_peak=peak,
            kernels=outcome.kernels,
            parents_sha256=outcome.parents_sha256,
            tokens=outcome.tokens,
            tokens_per_second=self._rate(outcome.tokens),
            flops=outcome.flops,
            flops_per_second=rate,
            utilisation=rate / (peak * self.site.workers.size) if rate and peak else None,
            weights_sha256=outcome.weights_sha256,
            scores=outcome.scores,
            dev_value=outcome.dev_value,
            measurements=outcome.measurements,
            rarity=outcome.rarity,
            analysis=outcome.analysis,
            flags=(*outcome.flags, *self.fallbacks, *damaged),
            facts=dict(outcome.facts),
        )
        self._leave(result)
        self.checkpoints.clear()
        (self.folder.path / "traceback.txt").unlink(missing_ok=True)
        return result

    def prune(self, facts: Mapping[str, Any]) -> Result:
        """Write result.json of a trial that need not be finished, and drop the checkpoints."""
        result = self._result(status="pruned", precision=self.precision, facts=dict(facts))
        self._leave(result)
        self.checkpoints.clear()
        return result

    def fail(self, error: BaseException) -> Result:
        """Write result.json with the reason and traceback.txt beside it, unless the disk refuses.

        Raises DeviceLostError, and records nothing, where the accelerator no longer answers this process."""
        end_if_device_is_lost(error)
        result = self._result(status="failed", error=failure_of(error), precision=self.precision)
        self.result = result
        with suppress(OSError):  # the caller has the result; there is nowhere to write it
            self._leave(result)
            self._leave_traceback(error)
        return result

    def _leave_traceback(self, error: BaseException) -> None:
        if self._writes:
            lines = traceback.format_exception(error)
            (self.folder.path / "traceback.txt").write_text("".join(lines), encoding="utf-8")

    def _rate(self, count: int | None) -> float | None:
        """`count` per second of training."""
        return count / self.training_seconds if count and self.training_seconds else None

    def _matmul_peak(self, outcome: Outcome) -> float:
        """Operations a second, as measured by `harness.trials.run` before the work began."""
        place, threads = self.site, self.trial.resources.cpus
        return matmul_peak(place.sources.cache_dir, place.device, outcome.precision, threads)

    def _leave(self, result: Result) -> None:
        if self._writes:
            if not (self.folder.path / "trial.json").exists():
                self.folder.write_trial(self.trial)
            self.folder.write_result(result)
        self.result = result

    def _result(
        self,
        *,
        precision: str,
        matmul_peak: float | None = None,
        kernels: Mapping[str, str] | None = None,
        parents_sha256: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Result:
        return Result(
            trial_id=self.trial.id,
            kind=self.trial.kind,
            started_at=self.started_at,
            finished_at=time.time(),
            seconds=self.seconds,
            resumed=self.resumed,
            provenance=provenance.collect(
                device=self.site.device,
                precision=precision,
                threads=self.trial.resources.cpus,
                matmul_peak=matmul_peak,
                kernels=kernels,
                parents_sha256=parents_sha256,
                plugins={plugin.title: plugin.origin for plugin in plugins_of(self.trial.job)},
            ),
            **fields,
        )
