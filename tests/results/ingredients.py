"""What synthetic boards are made of: invented skills, and real catalog entries to carry them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.assets.asset import Asset
from harness.base import digest
from harness.records.result import Provenance
from harness.records.trial import FinetuneRecipe
from harness.shapes import DeclaredShape
from harness.spec.entries import Student, Task, Teacher
from harness.spec.languages import XNLI15

HS = {"term": "hidden_states"}
METHODS: dict[str, tuple[str, list[dict[str, Any]], float]] = {
    "scratch": ("control", [], 0.55),
    "od": ("OD", [{"term": "logits"}], 0.80),
    "hs-last": ("HS", [HS | {"mapping": "last"}], 0.84),
    "hs-uniform": ("HS", [HS | {"mapping": "uniform"}], 0.85),
    "hs-uniform-consecutive": ("HS", [HS | {"mapping": "uniform_consecutive"}], 0.86),
    "hs-emd": ("HS", [HS | {"mapping": "emd"}], 0.83),
    "hs-reverse": ("HS", [HS | {"mapping": "reverse"}], 0.70),
    "minilmv2": ("MHA", [{"term": "relations"}], 0.92),
    "direct-minilm": ("MHA", [{"term": "qkv"}], 0.91),
    "tinybert": (
        "composite",
        [{"term": "attention_scores", "mapping": "uniform"}, {"term": "embeddings"}],
        0.88,
    ),
}
"""Name -> family, objective, invented share of the teacher's skill that is kept."""
STUDENTS = {"6L-384": (6, 384, 12, 0.97), "4L-312": (4, 312, 12, 0.93), "3L-192": (3, 192, 12, 0.88)}
"""Name -> layers, width, heads, invented skill."""


@dataclass(frozen=True)
class TaskShape:
    """A task of a synthetic board."""

    name: str
    suite: str
    languages: tuple[str, ...] = ("en",)
    labels: int = 2
    metrics: tuple[str, ...] = ("accuracy",)
    top: float = 0.9
    """Invented score of a perfect student."""
    type: str = "classification"


GLUE = (
    TaskShape("cola", "GLUE", metrics=("matthews",), top=0.6),
    TaskShape("sst2", "GLUE", top=0.93),
    TaskShape("mrpc", "GLUE", metrics=("accuracy", "f1"), top=0.9),
    TaskShape("qnli", "GLUE", top=0.91),
    TaskShape("rte", "GLUE", top=0.71),
)
QUICK = (TaskShape("snli", "NLI", labels=3, top=0.82), TaskShape("vader-movies", "sentiment", top=0.84))
WORDS = (TaskShape("pos", "words", labels=12, metrics=("word_accuracy",), type="token_classification"),)
XNLI = (TaskShape("xnli", "XNLI", languages=XNLI15, labels=3, top=0.78),)


def provenance() -> Provenance:
    """What stood behind a synthetic result."""
    return Provenance(
        harness="0.1.0",
        versions={"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0"},
        device="synthetic CPU",
        fingerprint="synthetic-cpu-1t",
        precision="fp32",
        threads=1,
        kernels={"attention": "eager"},
    )


def asset_of(name: str) -> Asset:
    return Asset(sources=({"hub": f"synthetic/{name}"},), sha256=digest(name, 64))


def teacher_of(name: str) -> Teacher:
    shape = DeclaredShape(model_type="bert", layers=12, width=768, heads=12, ffn=3072, vocabulary=30522)
    return Teacher(name=name, asset=asset_of(name), shape=shape)


def student_of(name: str) -> Student:
    layers, width, heads, _ = STUDENTS[name]
    return Student(name=name, layers=layers, width=width, heads=heads)


def task_of(shape: TaskShape) -> Task:
    folder = "{language}/" if len(shape.languages) > 1 else ""
    return Task(
        name=shape.name,
        suite=shape.suite,
        type=shape.type,
        assets={"data": asset_of(shape.name)},
        splits={part: {"files": f"{folder}{part}.parquet"} for part in ("train", "dev", "test")},
        columns={"text": "text", "label": "label"},
        labels={f"class{i}": i for i in range(shape.labels)},
        metrics=shape.metrics,
        languages=shape.languages,
    )


def recipe_of(rate: float) -> FinetuneRecipe:
    return FinetuneRecipe(
        learning_rate=rate,
        epochs=3,
        batch_size=32,
        length=128,
        warmup_ratio=0.1,
        weight_decay=0.01,
        betas=(0.9, 0.999),
        epsilon=1e-6,
        clip_norm=1.0,
        dropout=0.1,
        precision="auto",
        train_rows=None,
        patience=None,
        select_on="dev",
    )
