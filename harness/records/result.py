"""What a trial leaves behind: `result.json`, and `progress.jsonl` while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.base import Frozen, Label
from harness.records.analysis import Analysis
from harness.records.rarity import RarityScore
from harness.records.trial import Kind, Trial, TrialId

DEAD_TERM = 0.01
"""A term whose share of the gradient never reaches this does nothing: flag `dead_term:<name>`."""

FP32_AFTER_NAN = "fp32_after_nan"
"""Flag of a result that took fp32 because bf16 had failed; the step at which it had follows."""


class Score(Frozen):
    """One number on one split of one task in one language."""

    suite: str
    task: str
    language: str
    split: str
    metric: str
    value: float | None
    """Fraction, -1..1; null where the metric is undefined on these predictions."""
    n: int
    """Rows it was computed on."""
    no_information: float | None = None
    """The best score on them that needs no look at the inputs (`harness.kinds.chance`); null where none is known."""
    data_id: str
    """SHA-256 of the rows used."""
    flags: tuple[str, ...] = ()
    """`far_below_chance`, `dev_as_test`, ..."""


class Measurement(Frozen):
    """One measured or counted quantity of a model."""

    metric: str
    """parameters, parameters_without_embeddings, flops, latency_ms, throughput, peak_memory, masked_accuracy, ..."""
    value: float
    unit: str
    protocol: str
    """How it was measured, e.g. `batch 1, 128 tokens, fp32, 1 thread, median of 20`."""
    spread: float | None = None
    """Interquartile range over the median, where it is a timing."""
    valid: bool = True


class Failure(Frozen):
    """Why a trial failed."""

    reason: str
    """A name of `harness.errors.TrialError.reason`."""
    message: str
    step: int | None = None
    term: str | None = None


class Provenance(Frozen):
    """What else stood behind a number."""

    harness: str
    versions: dict[str, str]
    """Package -> version: torch, transformers, tokenizers, numpy, python, ..."""
    device: str
    """Processor or GPU name."""
    fingerprint: str
    precision: str
    threads: int
    matmul_peak: float | None = None
    """Operations a second of a large matrix product on that device, in that precision with those threads."""
    kernels: dict[str, str] = {}
    """Resolved by rule: attention implementation, optimiser, ..."""
    commit: str | None = None
    """Commit of the harness's own checkout, where it runs from one."""
    parents_sha256: dict[str, str] = {}
    """Parent trial -> SHA-256 of the weights actually used."""
    plugins: dict[str, str] = {}
    """`term state_norm` -> distribution, version and hash of the code that offered it, `harness.spec.plugins`."""


class Result(Frozen):
    """What a trial leaves: `result.json`, written last, to a temporary name and renamed."""

    schema_: Annotated[Literal[1], Label()] = Field(default=1, alias="schema")
    trial_id: TrialId
    kind: Kind
    status: Literal["ok", "failed", "pruned"]
    """`pruned`: successive halving gave its setting up; as done as `ok`."""
    error: Failure | None = None
    started_at: float
    """Seconds since the epoch, UTC."""
    finished_at: float
    seconds: float
    """Seconds of work, over all resumptions."""
    resumed: int = 0
    """How often it was taken up again from a checkpoint."""
    tokens: int | None = None
    """Real tokens the student (or prepared teacher, or fine-tuned model) was trained on."""
    tokens_per_second: float | None = None
    flops: int | None = None
    """Operations of the matrix products of its training, `harness.flops`; its share of a teacher pass included."""
    flops_per_second: float | None = None
    """Over the seconds of its training steps."""
    utilisation: float | None = None
    """`flops_per_second` over `provenance.matmul_peak`, 0..1."""
    weights_sha256: str | None = None
    """Of `model/model.safetensors`, where a model was kept."""
    scores: tuple[Score, ...] = ()
    dev_value: float | None = None
    """finetune: the score by which the best epoch was chosen."""
    measurements: tuple[Measurement, ...] = ()
    rarity: tuple[RarityScore, ...] = ()
    """finetune: reported scores by how many words of a row are split; trials recorded before it existed have none."""
    analysis: Analysis | None = None
    """analyse: the student beside its teacher."""
    flags: tuple[str, ...] = ()
    """What a reader must know: fallbacks taken, thin languages, untrained blocks."""
    facts: dict[str, Any] = {}
    """Further figures of the trial: best epoch, loss before and after, rows used, ..."""
    provenance: Provenance

    @property
    def started_in(self) -> str:
        """The precision that was resolved at its start; a flag records a later fallback to fp32."""
        fell_back = any(flag.startswith(FP32_AFTER_NAN) for flag in self.flags)
        return "bf16" if fell_back else self.provenance.precision


class Progress(Frozen):
    """One line of `progress.jsonl`."""

    step: int
    steps: int
    loss: float
    terms: dict[str, float] = {}
    """Loss by term, unweighted."""
    learning_rate: float
    tokens_per_second: float
    at: float
    """Seconds since the epoch, UTC."""
    gradient_norm: float | None = None
    clipped: float | None = None
    """Share of the steps since the last line whose gradient was clipped, 0..1; null without clipping."""
    doing: str = ""
    """What it is at after this step where that takes long, e.g. `predicts dev sw, 1,024 of 2,490 rows`."""


@dataclass(frozen=True)
class RecordedTrials:
    """Trials that ended well, the latest first (`harness.records.latest` reads them)."""

    ended: tuple[tuple[Trial, Result], ...] = ()
    known: Mapping[str, Trial] = field(default_factory=dict)
    """By id: these trials and, as far as they are recorded, their ancestors."""
