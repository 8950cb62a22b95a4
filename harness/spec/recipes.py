"""The settings of each kind of trial: how long, how fast and in what precision. All are part of a trial's
identity but those marked `Label`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from harness.base import Added, Frozen, Label, Unordered

Precision = Literal["auto", "fp32", "bf16"]
"""`auto` is resolved by rule at the trial's first start: bf16 where the processor multiplies it natively,
else fp32."""

OnNan = Annotated[Literal["fail", "fp32"], Label()]
"""What happens to a trial whose loss or gradient is no longer finite in bf16: it fails, or it is run once more from its
start in fp32, which its result then states (flag `fp32_after_nan:<step>`)."""

Rate = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Length = Annotated[int, Field(ge=8, le=8192)]
ClipNorm = Annotated[float, Field(gt=0)] | None
"""Largest gradient norm; null for none."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class TokenBatches(Frozen):
    """The input stream: blocks, order and corruption are a function of (corpus, tokenizer, this, seed)
    only."""

    batch_size: Count = 32
    """Token blocks per step, over all workers together."""
    length: Length = 128
    """Tokens per block, special tokens included."""
    mlm_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of positions corrupted 80/10/10 (BERT)."""


class Optimisation(Frozen):
    """AdamW with linear warm-up and linear decay to zero."""

    steps: int = Field(default=400_000, ge=0, le=10**9)
    """Optimiser steps; 0 leaves the model as initialised."""
    learning_rate: Rate = 6e-4
    warmup_steps: int = Field(default=4_000, ge=0)
    weight_decay: Fraction = 0.01
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: Rate = 1e-8
    """Added to the root of Adam's second moment. Where it is not small against a method's gradients, it shortens that
    method's steps and not the others'."""
    clip_norm: ClipNorm = 1.0
    """Largest gradient norm; null for none."""

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Optimisation:
        if self.steps and self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be at most steps ({self.steps})")
        return self


class Distil(TokenBatches, Optimisation):
    """How students are distilled."""

    input: Literal["masked", "clean"] = "masked"
    """Input of teacher and student: blocks with `mlm_probability` of the positions corrupted, or the text as it is."""
    precision: Precision = "auto"
    on_nan: OnNan = "fail"
    """Where a loss is no longer finite in bf16: `fail`, or run the trial once more in `fp32`, which its result states."""
    dropout: Fraction = 0.0
    """Student dropout while distilling."""
    milestones: Annotated[tuple[Count, ...], Label(since=2)] = ()
    """Steps after which an intermediate student is exported too. Adding some later trains the student again, since they
    are exported during training; its existing scores stay valid."""
    cohort: Annotated[Literal["auto", "off"] | Count, Label()] = "auto"
    """How many students share one teacher pass: as many as memory allows (`auto`), one (`off`), or at most this many. Does
    not change any result."""

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError(f"milestones {list(steps)} must ascend without repetition: {sorted(set(steps))}")
        return steps

    @model_validator(mode="after")
    def _within(self) -> Distil:
        late = [step for step in self.milestones if step >= self.steps]
        if late:
            raise ValueError(
                f"milestones {late} must be below `steps` ({self.steps}); the last student is always exported"
            )
        return self


class Prepare(TokenBatches, Optimisation):
    """Continued masked-LM training of the whole teacher on the corpus before it teaches."""

    train: Literal["all", "head"] = "all"
    """`head` freezes the encoder."""
    precision: Precision = "auto"
    on_nan: OnNan = "fail"
    """As in `distil`."""
    dropout: Fraction = 0.1
    seed: Seed = 0


class Halving(Frozen):
    """Synchronous successive halving (Jamieson & Talwalkar, 2016) of the settings of one model on one task.

    Every setting is first trained on factor^-rungs of the training rows; at each rung the best ⌈n / factor⌉
    of n by dev score go on to `factor` times the rows, those of the last rung to all."""

    factor: int = Field(default=3, ge=2, le=10)
    """At each rung one in `factor` settings goes on, trained on `factor` times as many rows."""
    rungs: int = Field(default=1, ge=1, le=4)
    """Number of shorter trainings before the one on all rows."""


def _listed(value: object) -> object:
    return (value,) if isinstance(value, (int, float)) else value


Rates = Annotated[tuple[Rate, ...], Field(min_length=1), BeforeValidator(_listed)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(_listed)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), BeforeValidator(_listed)]
"""One value or a list of them."""

SelectOn = Literal["dev", "dev_en", "dev_all", "train_holdout"]
"""Rows on which the best epoch and setting are chosen."""


class FinetuneLimits(Frozen):
    """How much of a task is trained on and predicted; null for no limit."""

    train_rows: Count | None = None
    """Use this many training rows, chosen by hash of their text; null for all."""
    patience: Count | None = None
    """Stop after this many epochs without a better dev score; null trains all epochs. The best epoch counts either
    way."""
    eval_rows: Annotated[Count | None, Added()] = None
    """Predict at most this many dev and test rows of each language, the same rows in all of them; null for all. Scores on
    a part of a split carry the flag `part_of_split`."""
    dev_rows: Annotated[Count | None, Added()] = None
    """Predict at most this many dev rows of each language, where these are enough to choose the best epoch and setting;
    null for `eval_rows`. Flagged likewise."""


class FinetuneSettings(FinetuneLimits):
    """What a fine-tuning recipe and the `finetune` section of a spec have in common: AdamW with linear warm-up and
    decay, at one batch size and length."""

    batch_size: Count = 32
    length: Length = 128
    """Longest input in tokens; longer pairs are cut, the longer text first."""
    warmup_ratio: Fraction = 0.1
    weight_decay: Fraction = 0.01
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: Rate = 1e-6
    clip_norm: ClipNorm = 1.0
    dropout: Fraction = 0.1
    precision: Precision = "auto"
    on_nan: OnNan = "fail"
    """As in `distil`."""


class FinetuneGrid(Frozen):
    """Learning rates and epochs from which the best is chosen on dev; null for those of `finetune`."""

    learning_rate: Rates | None = None
    epochs: Counts | None = None


class Finetune(FinetuneSettings):
    """How every model is fine-tuned on every task: learning rates × epochs × seeds, the best setting chosen on dev. One
    setting unless several are listed."""

    learning_rate: Rates = (3e-5,)
    """One rate or a list to choose from. 3e-5 is in the grids of BERT (Devlin et al., 2019) and of the MiniLM papers; for
    small models Turc et al. (2019) search from 3e-5 to 3e-4. The MiniLM papers' grid is `[1e-5, 1.5e-5, 2e-5, 3e-5, 4e-5]`
    with `epochs: [3, 5, 10]` (as in `specs/paper/english.yaml`): fifteen settings, for which 90 epochs are trained."""
    epochs: Counts = (3,)
    """One number or a list to choose from; 3 is in the grids of BERT and of the MiniLM papers. The best epoch is kept."""
    seeds: Seeds = (0,)
    select_on: SelectOn | None = None
    """Rows on which the best epoch and setting are chosen. Null: dev_en for cross-lingual tasks, dev where
    test labels exist, else train_holdout (a fixed tenth of train), so that no score is chosen on the rows it
    is reported on."""
    halving: Halving | None = None
    """Stop weak settings early, by successive halving; null trains every setting in full."""
    references: FinetuneGrid | None = None
    """Grid for teachers and external checkpoints, where a learning rate that suits small students is too high for them;
    null for the students' grid. All other settings are the same."""


class FinetuneOverrides(FinetuneLimits, FinetuneGrid):
    """Settings of one task that differ from the spec's `finetune`; same meaning, null for the spec's own."""

    seeds: Seeds | None = None
    batch_size: Count | None = None
    length: Length | None = None
    select_on: SelectOn | None = None
    halving: Halving | None = None


class Measure(Frozen):
    """Latency protocol: random token ids of a fixed shape, eval mode, after warm-up; median over repeats."""

    enabled: Annotated[bool, Label()] = True
    batch_sizes: Annotated[tuple[Count, ...], Unordered()] = (1, 32)
    length: Length = 128
    repeats: int = Field(default=20, ge=5, le=10_000)
    warmup: int = Field(default=5, ge=1, le=1_000)
    threads: Count = 1
    precision: Precision = "fp32"


class Analyse(Frozen):
    """How students are compared with their teacher on held-out text, in fp32: similarity of layers, divergence of
    relations, and every method's objective on every student."""

    enabled: Annotated[bool, Label()] = False
    """Analyse the students of the grid."""
    blocks: Count = 256
    """Held-out blocks read at most. At 256 they are those on which `distil` takes the loss before and after training."""
    relation_heads: Count = 12
    """Heads into which queries, keys and values are split for the divergence of relations; must divide both widths."""
    seeds: Annotated[Seeds | None, Label()] = None
    """Seeds of the grid whose students are analysed; null for all."""


class Resources(Frozen):
    """What one trial of a kind occupies while it runs. `cpus` is also its number of threads."""

    cpus: int = Field(default=1, ge=1, le=4096)
    gpus: float = Field(default=0.0, ge=0, le=64)
    """GPUs of each trial; trials with fractions share one. 0 runs on the CPU, or on what `harness run --gpus` gives."""
    concurrency: Annotated[Count | None, Label()] = None
    """At most this many at once; null for as many as fit."""
    workers: Annotated[int, Label(), Field(ge=1, le=1024)] = 1
    """Processes that train one cohort together, each on its share of the rows of every batch (Ray Train). Each takes the
    `cpus` and `gpus` above; `gpus` must be 0 or 1. For `distil` only."""

    @model_validator(mode="after")
    def _whole_cards(self) -> Resources:
        if self.workers > 1 and self.gpus not in (0, 1):
            raise ValueError(f"each of {self.workers} workers takes one GPU or none: `gpus: 1` or `gpus: 0`")
        return self


class KindResources(Frozen):
    """Resources by kind of trial."""

    prepare: Resources = Resources(cpus=2)
    distil: Resources = Resources(cpus=1)
    finetune: Resources = Resources(cpus=1)
    measure: Resources = Resources(cpus=1)
    analyse: Resources = Resources(cpus=1)

    @field_validator("prepare", "finetune", "measure", "analyse")
    @classmethod
    def _one_worker(cls, resources: Resources) -> Resources:
        if resources.workers > 1:
            raise ValueError("only `distil` trials can take several workers; leave `workers` out here")
        return resources
