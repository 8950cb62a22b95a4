"""Measure an architecture on this machine: parameters, FLOPs, latency, throughput, peak memory,
each with its protocol.

Weights are random: none of these depend on what a model was trained for. The encoder alone is measured, without a
masked-LM head and without a pooler, on random token ids of full length (no padding), in eval mode, without autograd."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from harness.assets.fetch import opened
from harness.assets.sources import Sources
from harness.devices.placement import attention_rule, resolve_precision
from harness.errors import InputError
from harness.families import FAMILIES, family_of
from harness.flops import forward_flops
from harness.models.configs import config_of_shape
from harness.models.random_encoder import seeded
from harness.models.students import student_config
from harness.records.result import Measurement
from harness.records.trial import MeasureJob
from harness.shapes import Shape, declared_shape, read_config, shape_of_config
from harness.spec.entries import Teacher
from harness.spec.recipes import Measure
from harness.trials.load import load_teacher

LARGEST_SPREAD = 0.2
"""Interquartile range over the median above which a timing is marked invalid: something else was using the machine."""
ROUNDS = 3
"""A timing above `LARGEST_SPREAD` is taken again, so often in all; the calmest counts."""

SEED = 0
"""Of the random weights and token ids."""


def measure(job: MeasureJob, sources: Sources, device: torch.device | None = None) -> list[Measurement]:
    """Build the job's architecture with random weights and measure it on `device` (default: CPU).

    The size comes from `teacher_config`. Metrics: parameters, parameters_without_embeddings (count); flops
    (forward, one sequence); for each batch size latency_ms (median), throughput (sequences/s); peak_memory (bytes,
    at the largest batch; left out where the system does not report it). Raises InputError where the protocol's length does
    not fit the model."""
    device = device or torch.device("cpu")
    config = architecture(job, sources)
    shape = shape_of_config(config.to_dict(), job.teacher.name, mlm_head=False)
    _check_length(config, job)
    precision = resolve_precision(job.protocol.precision, device)
    with _threads(job.protocol.threads):
        memory = PeakMemory(device)
        model = _build(config, device, torch.bfloat16 if precision == "bf16" else torch.float32)
        bench = Bench(model, job.protocol, device, f"{precision}, {_where(device, job.protocol.threads)}")
        timings = [bench.time(size) for size in job.protocol.batch_sizes]
        peak = memory.since()
    measured = [*_counts(model, shape, job.protocol.length), *(m for timing in timings for m in timing)]
    if peak is not None:
        measured.append(_peak(peak, job.protocol, bench.suffix, device))
    return measured


def architecture(job: MeasureJob, sources: Sources) -> PreTrainedConfig:
    """The config of the job's student as its teacher's family builds it, or of the teacher itself."""
    teacher = teacher_config(job.teacher, sources)
    if job.student is None:
        return teacher
    size = job.student.shape(shape_of_config(teacher.to_dict(), job.teacher.name, mlm_head=False))
    return student_config(teacher, size, dropout=0.0)


def teacher_config(teacher: Teacher, sources: Sources) -> PreTrainedConfig:
    """A teacher's config from its declared shape and its family's usual positions and token types, without fetching
    anything; from the files where no shape is declared, and where the vocabulary is trimmed: how many pieces are left,
    depends on the corpus."""
    if teacher.trim_vocabulary is not None:
        trimmed: PreTrainedConfig = load_teacher(teacher, sources).model.config
        return trimmed
    if teacher.shape is not None:
        return config_of_shape(declared_shape(teacher.shape))
    if teacher.format != "transformers":
        raise InputError(f"{teacher.name}: format {teacher.format} needs `shape:` to be measured")
    with opened(teacher.asset, sources) as files:
        shape_of_config(read_config(files.path), files.path, mlm_head=False)  # refuses what is not supported
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            files.path, local_files_only=True, trust_remote_code=False
        )
    return config


@dataclass(frozen=True)
class Bench:
    """Times one model under one protocol."""

    model: PreTrainedModel
    protocol: Measure
    device: torch.device
    suffix: str
    """Precision and device, for the protocol's text."""

    def time(self, batch_size: int) -> list[Measurement]:
        """Latency and throughput at one batch size, after warm-up."""
        ids = random_ids(self.model, batch_size, self.protocol.length).to(self.device)
        median, spread = self._calmest(lambda: self.model(input_ids=ids))
        text = (
            f"batch {batch_size}, {self.protocol.length} tokens, {self.suffix}, "
            f"median of {self.protocol.repeats} after {self.protocol.warmup}, the calmest of up to {ROUNDS} rounds"
        )
        shared: dict[str, Any] = {"protocol": text, "spread": spread, "valid": spread <= LARGEST_SPREAD}
        return [
            Measurement(metric="latency_ms", value=1000 * median, unit="ms", **shared),
            Measurement(metric="throughput", value=batch_size / median, unit="sequences/s", **shared),
        ]

    def _calmest(self, run: Callable[[], object]) -> tuple[float, float]:
        """Median seconds and spread of the first round within `LARGEST_SPREAD`, or of the least spread one."""
        rounds = []
        for _ in range(ROUNDS):
            seconds = self._repeat(run)
            median = statistics.median(seconds)
            low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
            rounds.append((median, (high - low) / median))
            if rounds[-1][1] <= LARGEST_SPREAD:
                break
        return min(rounds, key=lambda one: one[1])

    @torch.no_grad()
    def _repeat(self, run: Callable[[], object]) -> list[float]:
        for _ in range(self.protocol.warmup):
            run()
        seconds = []
        for _ in range(self.protocol.repeats):
            self._wait()
            start = time.perf_counter()
            run()
            self._wait()
            seconds.append(time.perf_counter() - start)
        return seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class PeakMemory:
    """The most bytes by which this process, or its share of the GPU, has grown since this object was created."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before: int | None = torch.cuda.memory_allocated(device)
            """Bytes when this object was created; None where the system does not report it."""
            return
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # memory freed earlier would hide what is taken from now on
        self.before = _resident("VmRSS") if _reset_resident_peak() else None

    def since(self) -> int | None:
        """Bytes; None where the system does not report it."""
        if self._device.type == "cuda":
            now: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            now = _resident("VmHWM")
        return None if now is None or self.before is None else max(0, now - self.before)


def random_ids(model: PreTrainedModel, rows: int, tokens: int) -> Tensor:
    """(rows, tokens) token ids drawn from `SEED`, none of them padding."""
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(0, model.config.vocab_size, (rows, tokens), generator=generator)
    padding = model.config.pad_token_id
    return (
        ids if padding is None else torch.where(ids == padding, (padding + 1) % model.config.vocab_size, ids)
    )


def encoder_parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Parameters of an encoder (no head, no pooler), and those of its Transformer layers alone."""
    layers = sum(parameter.numel() for parameter in family_of(model).layers(model).parameters())
    named = model.base_model.named_parameters()
    whole = sum(parameter.numel() for name, parameter in named if not name.startswith("pooler."))
    return whole, layers


def _build(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    options = {"add_pooling_layer": False} if family_of(config).has_pooler else {}
    with seeded(SEED):
        model: Any = AutoModel.from_config(
            config,
            attn_implementation=attention_rule(device, config.model_type, trains=False),
            dtype=dtype,
            **options,
        )
    built: PreTrainedModel = model.to(device).eval()
    return built


def _counts(model: PreTrainedModel, shape: Shape, tokens: int) -> list[Measurement]:
    whole, layers = encoder_parameters(model)
    counted = "encoder with word, position and type embeddings; no head, no pooler"
    maps = 3 if FAMILIES[shape.model_type].gated else 2
    formula = f"1 sequence of {tokens} tokens, forward, matrix products: L·[2n(4d² + {maps}df) + 4n²d]"
    return [
        Measurement(metric="parameters", value=whole, unit="count", protocol=counted),
        Measurement(
            metric="parameters_without_embeddings", value=layers, unit="count", protocol="Transformer layers"
        ),
        Measurement(metric="flops", value=forward_flops(shape, 1, tokens), unit="FLOP", protocol=formula),
    ]


def _peak(peak: int, protocol: Measure, suffix: str, device: torch.device) -> Measurement:
    how = "allocator's peak" if device.type == "cuda" else "growth of peak resident memory"
    text = f"{how}, weights included, batch {max(protocol.batch_sizes)}, {protocol.length} tokens, {suffix}"
    return Measurement(metric="peak_memory", value=peak, unit="bytes", protocol=text)


def _check_length(config: PreTrainedConfig, job: MeasureJob) -> None:
    longest = family_of(config).longest_input(config)
    if job.protocol.length > longest:
        raise InputError(
            f"measure: length {job.protocol.length} is above the limit of {job.teacher.name}, {longest} tokens"
        )


def _where(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{threads} thread{'s' if threads > 1 else ''}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """While open, torch computes with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reset_resident_peak() -> bool:
    """Make Linux count this process's peak resident size again from its present size."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """A size of this process in bytes, as Linux counts it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
