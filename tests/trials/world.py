"""A teacher, a corpus and tasks small enough to train on in a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import AutoConfig, AutoModelForMaskedLM, BertTokenizerFast

from harness.assets.asset import Asset, LocalSource
from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.base import RULE
from harness.families import FAMILIES
from harness.records.trial import (
    DistilJob,
    FinetuneJob,
    FinetuneRecipe,
    ModelSource,
    PrepareJob,
    Trial,
    trial_id,
)
from harness.spec.catalog import Catalog
from harness.spec.entries import (
    Columns,
    Corpus,
    CorpusText,
    Method,
    Split,
    Student,
    Task,
    Teacher,
)
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil, Prepare

SUBJECTS = ["the cat", "a dog", "my aunt", "the king", "one bird", "our teacher", "a child", "the wind"]
VERBS = ["sees", "hears", "likes", "paints"]
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
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
EXTRA: dict[str, dict[str, int]] = {
    "electra": {"embedding_size": 32},
    "mpnet": {"pad_token_id": 1},
    "modernbert": {
        "local_attention": 8,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
}
"""What a family's config needs besides: special pieces of this vocabulary, a window that bites in its short texts."""


@dataclass(frozen=True)
class World:
    """What the trials of a test read and where they run."""

    folder: Path
    teacher: Teacher
    corpus: Corpus
    model_type: str = "bert"

    def site(self, name: str = "runs", **options: object) -> Site:
        """A place with a runs directory of its own; the cache is shared."""
        return Site(self.folder / name, Sources(cache_dir=self.folder / "cache"), **options)  # type: ignore[arg-type]


def make_world(folder: Path, model_type: str = "bert") -> World:
    """Write the teacher, of one of the families, and the corpus below `folder`."""
    text = sentences(1_000)
    (folder / "corpus").mkdir(parents=True)
    (folder / "corpus" / "text.txt").write_text("\n".join(text), encoding="utf-8")
    words = sorted({word for line in text for word in line.split()})
    extra = {"pad_token_id": 0, **EXTRA.get(model_type, {})}
    special = sorted(SPECIAL[:2], reverse=extra["pad_token_id"] == 1) + SPECIAL[2:]
    pieces = BertWordPieceTokenizer({piece: n for n, piece in enumerate([*special, *words])}, lowercase=True)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=pieces.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        **{FAMILIES[model_type].sizes.ffn: 64},
        max_position_embeddings=64,
        initializer_range=0.2,
        **extra,
    )
    model = AutoModelForMaskedLM.from_config(config)
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
        model_type,
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
    return Trial(
        id=trial_id("distil", job, {}, ()), id_rule=RULE, kind="distil", recipe_version=1, job=job, data={}
    )


def prepare_trial(world: World, **changes: object) -> Trial:
    """The tiny teacher, prepared on the tiny corpus."""
    recipe = Prepare(steps=30, learning_rate=3e-3, warmup_steps=3, batch_size=16, length=16, precision="fp32")
    job = PrepareJob(teacher=world.teacher, corpus=world.corpus, recipe=recipe.model_copy(update=changes))
    return Trial(
        id=trial_id("prepare", job, {}, ()), id_rule=RULE, kind="prepare", recipe_version=1, job=job, data={}
    )


def stop_after(asked: int) -> Callable[[], bool]:
    """A `Site.stop` that says yes the `asked`-th time it is asked."""
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count >= asked

    return stop


FINETUNE = FinetuneRecipe(
    learning_rate=3e-3,
    epochs=6,
    batch_size=16,
    length=24,
    warmup_ratio=0.1,
    weight_decay=0.01,
    betas=(0.9, 0.999),
    epsilon=1e-6,
    clip_norm=1.0,
    dropout=0.1,
    precision="fp32",
    train_rows=None,
    patience=None,
    select_on="dev",
)


def finetune_trial(
    world: World, task: Task, languages: tuple[str, ...] = ("en",), seed: int = 0, **changes: object
) -> Trial:
    """The tiny teacher on a task; `changes` replace fields of the recipe."""
    job = FinetuneJob(
        model=ModelSource(teacher=world.teacher),
        task=task,
        languages=languages,
        recipe=FINETUNE.model_copy(update=changes),
        seed=seed,
    )
    return Trial(
        id=trial_id("finetune", job, {}, ()),
        id_rule=RULE,
        kind="finetune",
        recipe_version=1,
        job=job,
        data={},
    )


def write_rows(folder: Path, files: Mapping[str, Sequence[Mapping[str, object]]]) -> Asset:
    """JSON lines by name of file."""
    folder.mkdir(parents=True)
    for name, rows in files.items():
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return local(folder)


def verb_task(folder: Path, **changes: object) -> Task:
    """Two classes that the verb tells apart."""
    rows = [
        {"text": text, "label": "senses" if is_of_the_senses(text) else "other"} for text in sentences(288)
    ]
    asset = write_rows(
        folder, {"train.jsonl": rows[:192], "dev.jsonl": rows[192:240], "test.jsonl": rows[240:]}
    )
    task = Task(
        name="verbs",
        suite="tiny",
        assets={"data": asset},
        splits={
            "train": Split(files="train.jsonl"),
            "dev": Split(files="dev.jsonl"),
            "test": Split(files="test.jsonl"),
        },
        columns=Columns(text="text", label="label"),
        format="jsonl",
        labels={"other": "other", "senses": "senses"},
        metrics=("accuracy", "f1"),
    )
    return task.model_copy(update=changes)


def is_of_the_senses(text: str) -> bool:
    """Whether the verb is one of two."""
    return " sees " in text or " hears " in text
