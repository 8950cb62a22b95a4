"""A teacher, a corpus and tasks small enough to train on in a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from harness.attempt import Workplace
from harness.data.sources import Sources
from harness.records import DistilJob, ModelSource, PrepareJob, Trial, trial_id
from harness.spec.assets import Asset, LocalSource
from harness.spec.catalog import Catalog
from harness.spec.entries import (
    Columns,
    Corpus,
    CorpusText,
    Initialisation,
    Method,
    Split,
    Student,
    Task,
    Teacher,
)
from harness.spec.recipes import Distil, Prepare

SUBJECTS = ["the cat", "a dog", "my aunt", "the king", "one bird", "our teacher", "a child", "the wind"]
VERBS = ["sees", "likes", "follows", "forgets", "paints", "hears", "answers", "carries"]
OBJECTS = [
    "the moon",
    "a door",
    "the river",
    "some bread",
    "that song",
    "a letter",
    "the garden",
    "its shadow",
]
ENDINGS = [
    "today",
    "at night",
    "in spring",
    "again",
    "without a word",
    "by the sea",
    "on the hill",
    "too late",
]


@dataclass(frozen=True)
class World:
    """What the trials of a test read and where they run."""

    folder: Path
    teacher: Teacher
    corpus: Corpus

    def workplace(self, name: str = "runs", **options: object) -> Workplace:
        """A place with a runs directory of its own; the cache is shared."""
        return Workplace(self.folder / name, Sources(cache_dir=self.folder / "cache"), **options)  # type: ignore[arg-type]


def make_world(folder: Path) -> World:
    """Write the teacher and the corpus below `folder`."""
    text = sentences(2_000)
    (folder / "corpus").mkdir(parents=True)
    (folder / "corpus" / "text.txt").write_text("\n".join(text), encoding="utf-8")
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(text, vocab_size=120, min_frequency=1, show_progress=False)
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=pieces.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.2,
        )
    )
    model.save_pretrained(folder / "teacher")
    BertTokenizerFast(tokenizer_object=pieces._tokenizer).save_pretrained(folder / "teacher")
    return World(
        folder,
        Teacher(name="tiny-teacher", asset=local(folder / "teacher")),
        Corpus(
            name="tiny-corpus",
            texts=(CorpusText(language="en", asset=local(folder / "corpus")),),
            held_out=0.05,
            floor_characters=0,
        ),
    )


def local(folder: Path) -> Asset:
    """Files of a folder on this machine."""
    return Asset(sources=(LocalSource(path=str(folder)),))


def sentences(count: int) -> list[str]:
    """Different sentences of one little grammar, in random order."""
    every = [f"{s} {v} {o} {e} ." for s in SUBJECTS for v in VERBS for o in OBJECTS for e in ENDINGS]
    return random.Random(0).sample(every, count)


def method(name: str) -> Method:
    """A method as shipped."""
    return Catalog().get("methods", name, Method)[1]


TINY_STUDENT = Student(name="tiny", layers=2, width=16, heads=2, ffn=32)
FLAT_STUDENT = Student(name="flat", layers=2, width=32, heads=4, ffn=64)
"""As wide as the teacher, for methods that need it."""
RECIPE = Distil(
    steps=20, learning_rate=5e-3, warmup_steps=2, batch_size=8, length=16, precision="fp32", dropout=0.1
)


def distil_trial(world: World, name: str | Method, **changes: object) -> Trial:
    """A student of the tiny teacher; `changes` replace `student`, `seed`, or fields of the recipe."""
    chosen = name if isinstance(name, Method) else method(name)
    student = changes.pop("student", TINY_STUDENT)
    seed = changes.pop("seed", 1)
    assert isinstance(student, Student)
    assert isinstance(seed, int)
    job = DistilJob(
        teacher=ModelSource(teacher=world.teacher),
        method=chosen,
        student=student,
        init=chosen.init or Initialisation(),
        corpus=world.corpus,
        recipe=RECIPE.model_copy(update=changes),
        seed=seed,
    )
    return Trial(id=trial_id("distil", job, {}, ()), kind="distil", recipe_version=1, job=job, data={})


def prepare_trial(world: World, **changes: object) -> Trial:
    """The tiny teacher, prepared on the tiny corpus."""
    recipe = Prepare(steps=30, learning_rate=3e-3, warmup_steps=3, batch_size=16, length=16, precision="fp32")
    job = PrepareJob(teacher=world.teacher, corpus=world.corpus, recipe=recipe.model_copy(update=changes))
    return Trial(id=trial_id("prepare", job, {}, ()), kind="prepare", recipe_version=1, job=job, data={})


def stop_after(asked: int) -> Callable[[], bool]:
    """A `Workplace.stop` that says yes the `asked`-th time it is asked."""
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count >= asked

    return stop


def write_task(folder: Path, rows: int = 96) -> Task:
    """Two classes that the first word tells apart."""
    folder.mkdir(parents=True)
    drawn = sentences(rows)
    names = {True: "article", False: "other"}
    lines = [json.dumps({"text": text, "label": names[text.startswith(("the", "a "))]}) for text in drawn]
    cut = rows * 2 // 3
    parts = {"train": lines[:cut], "dev": lines[cut : cut + rows // 6], "test": lines[cut + rows // 6 :]}
    for split, part in parts.items():
        (folder / f"{split}.jsonl").write_text("\n".join(part), encoding="utf-8")
    return Task(
        name="first-word",
        suite="tiny",
        assets={"data": local(folder)},
        splits={split: Split(files=f"{split}.jsonl") for split in parts},  # type: ignore[misc]
        columns=Columns(text="text", label="label"),
        format="jsonl",
        labels={"article": "article", "other": "other"},
        metrics=("accuracy", "f1"),
    )
