"""Measuring: counts that match published sizes, FLOPs that match a profiler, timings that name their
protocol."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from harness.assets.sources import Sources
from harness.errors import InputError
from harness.families import FAMILIES
from harness.flops import forward_flops, head_flops, training_flops
from harness.models.configs import config_of_shape
from harness.models.random_encoder import build_encoder
from harness.records.trial import MeasureJob
from harness.shapes import Shape, declared_shape
from harness.spec.catalog import Catalog
from harness.spec.entries import CorpusText, Student, Teacher
from harness.spec.recipes import Measure
from harness.trials.measure import LARGEST_SPREAD, Bench, encoder_parameters, measure
from tests.trials.world import SPECIAL, local, make_world, sentences

NOWHERE = Sources(cache_dir=Path("/nonexistent"), offline=True)
TINY = {"layers": 3, "width": 32, "heads": 4, "ffn": 64, "vocabulary": 100}
PROTOCOL = Measure(batch_sizes=(1, 4), length=16, repeats=5, warmup=1)


def teacher(model_type: str = "bert", **size: int) -> Teacher:
    """An entry whose files exist nowhere: its declared shape must do."""
    return Teacher.model_validate(
        {
            "name": "t",
            "asset": {"sources": [{"path": "nowhere"}]},
            "shape": {"model_type": model_type, **TINY, **size},
        }
    )


def job(student: Student | None = None, model_type: str = "bert", protocol: Measure = PROTOCOL) -> MeasureJob:
    return MeasureJob(teacher=teacher(model_type), student=student, protocol=protocol, fingerprint="f")


def meta(shape: Shape) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModel.from_config(config_of_shape(shape), attn_implementation="eager")


@pytest.mark.parametrize(
    ("model_type", "size", "millions", "layers_millions"),
    [
        # Published sizes: BERT-base 109M, 85M of it in the layers, MiniLM 6L-384 22M and 12L-384 33M (UniLM's
        # MiniLM page); DistilBERT 66M, RoBERTa-base 125M, XLM-R base 278M (their papers and hub pages).
        ("bert", (12, 768, 12, 3072, 30522), 109, 85),
        ("bert", (6, 384, 12, 1536, 30522), 22.6, 10.6),
        ("bert", (12, 384, 12, 1536, 30522), 33, 21),
        ("distilbert", (6, 768, 12, 3072, 30522), 66, 42.5),
        ("roberta", (12, 768, 12, 3072, 50265), 124, 85),
        ("xlm-roberta", (12, 768, 12, 3072, 250002), 277.5, 85),
        # ModernBERT-base 149M, large 395M (Warner et al., 2024).
        ("modernbert", (22, 768, 12, 1152, 50368), 149, 110.3),
        ("modernbert", (28, 1024, 16, 2624, 50368), 395, 343.2),
    ],
)
def test_parameters_match_published_sizes(model_type, size, millions, layers_millions) -> None:
    whole, layers = encoder_parameters(meta(Shape(*size, model_type=model_type, mlm_head=False)))
    assert whole / 1e6 == pytest.approx(millions, abs=0.6)
    assert layers / 1e6 == pytest.approx(layers_millions, abs=0.3)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # What their model cards and papers state, embeddings included.
        ("modernbert-base", 149),
        ("modernbert-large", 395),
        ("mmbert-base", 307),
        ("mmbert-small", 140),
        ("ettin-encoder-17m", 17),
        ("ettin-encoder-32m", 32),
        ("ettin-encoder-68m", 68),
        ("ettin-encoder-150m", 150),
        ("ettin-encoder-400m", 400),
        ("granite-embedding-english-r2", 149),
        ("granite-embedding-small-english-r2", 47),
        ("all-mpnet-base-v2", 109),
    ],
)
def test_a_declared_teacher_has_as_many_parameters_as_are_published(name: str, millions: float) -> None:
    declared = Catalog().get("teachers", name, Teacher)[1].shape
    assert declared is not None
    whole, _ = encoder_parameters(meta(declared_shape(declared)))
    assert whole / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_flops_by_formula_are_those_a_profiler_counts(model_type: str) -> None:
    shape = Shape(**{**TINY, "ffn": 48}, model_type=model_type, mlm_head=True)
    model = build_encoder(config_of_shape(shape), seed=0)
    model.set_attn_implementation("eager")
    ids = torch.randint(5, 100, (2, 11))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.base_model(ids)
    assert counter.get_total_flops() == forward_flops(shape, 2, 11)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids)
    assert counter.get_total_flops() == forward_flops(shape, 2, 11) + head_flops(shape, 22)
    with FlopCounterMode(display=False) as counter:
        model.base_model(ids).last_hidden_state.sum().backward()
    assert counter.get_total_flops() == training_flops(shape, 2, 11)


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_everything_is_measured_from_the_declared_shape_alone(model_type: str) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measured = measure(job(Student(name="s", layers=2, width=16, heads=2), model_type), NOWHERE)
    assert (torch.get_num_threads(), torch.equal(torch.get_rng_state(), state)) == (threads, True)
    by_name = {}
    for m in measured:
        by_name.setdefault(m.metric, []).append(m)
    assert {name: len(found) for name, found in by_name.items() if name != "peak_memory"} == {
        "parameters": 1,
        "parameters_without_embeddings": 1,
        "flops": 1,
        "latency_ms": 2,
        "throughput": 2,
    }
    for latency, throughput, size in zip(by_name["latency_ms"], by_name["throughput"], (1, 4), strict=True):
        assert latency.value > 0
        assert throughput.value == pytest.approx(1000 * size / latency.value)
        timed = "median of 5 after 1, the calmest of up to 3 rounds"
        assert latency.protocol == f"batch {size}, 16 tokens, fp32, 1 thread, {timed}"
        assert latency.spread is not None
        assert latency.valid == (latency.spread <= LARGEST_SPREAD)
    (layers,) = by_name["parameters_without_embeddings"]
    width, ffn = 16, 64
    expected = 2 * (4 * width * (width + 1) + 2 * width * ffn + ffn + width + 4 * width)
    if (
        model_type == "modernbert"
    ):  # no biases, three maps in a feed-forward block, one norm less in the first layer
        expected = 2 * (4 * width * width + 3 * width * ffn) + 3 * width
    assert layers.value == expected


def test_a_restless_timing_is_taken_again() -> None:
    restless, calm = (1, 1, 30, 1, 30, 30), (10,) * 12
    waits = iter(restless + calm)
    drawn = []

    def run(**_: object) -> None:
        drawn.append(next(waits))
        time.sleep(drawn[-1] / 1000)

    model: Any = run
    model.config = SimpleNamespace(vocab_size=10, pad_token_id=0)
    latency, _ = Bench(model, PROTOCOL, torch.device("cpu"), "fp32").time(1)
    assert len(drawn) > len(restless)
    assert latency.spread is not None
    assert latency.spread < 0.9  # that of the first round is 29 / 30


def test_the_teacher_itself_is_measured_where_no_student_is_named() -> None:
    (parameters,) = (m for m in measure(job(), NOWHERE) if m.metric == "parameters_without_embeddings")
    width, ffn = TINY["width"], TINY["ffn"]
    assert parameters.value == 3 * (4 * width * (width + 1) + 2 * width * ffn + ffn + width + 4 * width)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak resident size")
def test_a_trimmed_vocabulary_is_counted_as_the_students_have_it(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    every = sentences(1_000)
    some = [line for line in every if line.startswith("the cat")]
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "text.txt").write_text("\n".join(some), encoding="utf-8")
    corpus = world.corpus.model_copy(update={"texts": (CorpusText(language="en", asset=local(folder)),)})
    trimmed = world.teacher.model_copy(update={"trim_vocabulary": corpus})
    kept = {word for line in some for word in line.split()}
    kept |= {word for line in every for word in line.split() if len(word) == 1}  # characters are always kept
    measured = measure(
        MeasureJob(
            teacher=trimmed,
            student=Student(name="s", layers=1, width=8, heads=2),
            protocol=PROTOCOL,
            fingerprint="f",
        ),
        world.site().sources,
    )
    counted = {one.metric: one.value for one in measured}
    embeddings = counted["parameters"] - counted["parameters_without_embeddings"]
    positions, types, layer_norm = 64, 2, 2
    assert embeddings == 8 * (len(SPECIAL) + len(kept) + positions + types + layer_norm)


def test_peak_memory_covers_the_weights() -> None:
    large = teacher(width=512, layers=8, ffn=2048, vocabulary=30_000)
    measured = measure(MeasureJob(teacher=large, protocol=PROTOCOL, fingerprint="f"), NOWHERE)
    values = {m.metric: m.value for m in measured}
    assert 1.0 <= values["peak_memory"] / (4 * values["parameters"]) < 2.5


def test_a_length_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match=r"length 600 is above the limit of t, 512 tokens"):
        measure(job(protocol=Measure(length=600)), NOWHERE)
    with pytest.raises(InputError, match=r"512 tokens"):
        measure(job(model_type="roberta", protocol=Measure(length=513)), NOWHERE)


def test_bf16_is_named_in_the_protocol() -> None:
    protocol = PROTOCOL.model_copy(update={"precision": "bf16", "batch_sizes": (2,)})
    latency = next(m for m in measure(job(protocol=protocol), NOWHERE) if m.metric == "latency_ms")
    assert ", bf16, 1 thread," in latency.protocol
