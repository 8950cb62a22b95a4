"""A teacher with random weights, a corpus of random words, and trials of the harness on them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from benchmarks.conditions import Conditions
from harness.assets.asset import Asset, LocalSource
from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.base import RULE
from harness.corpora.blocks import TokenBlocks, build_blocks
from harness.corpora.stream import BatchStream
from harness.methods.loss import Batch
from harness.models.loaded import LoadedModel, quiet_transformers
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.records.trial import DistilJob, ModelSource, Trial, trial_id
from harness.shapes import Shape
from harness.spec.catalog import Catalog
from harness.spec.entries import Corpus, CorpusText, Method, Student, Teacher
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil, Precision, Resources

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
WORDS = 12_000
"""Words of the corpus: a little over 80 blocks of 128 tokens, so that held-out text costs no time."""
ENDLESS = 10**6
"""Steps of a trial that is never completed."""


@dataclass(frozen=True)
class World:
    """Inputs shared by all sides of a comparison."""

    conditions: Conditions
    shape: Shape
    teacher: Teacher
    corpus: Corpus

    @classmethod
    def make(cls, conditions: Conditions, vocabulary: int = 30_522) -> World:
        """Write the teacher and the corpus below the run's folder, once per vocabulary."""
        shape = conditions.teacher(vocabulary)
        folder = conditions.folder / f"teacher-{shape.vocabulary}"
        words = [f"w{number}" for number in range(shape.vocabulary - len(SPECIAL))]
        if not folder.exists():
            pieces = {piece: number for number, piece in enumerate([*SPECIAL, *words])}
            write_model(folder, shape, BertWordPieceTokenizer(pieces))
        text = conditions.folder / f"corpus-{shape.vocabulary}"
        if not text.exists():
            _write_corpus(text, words)
        corpus = Corpus(
            name="random-words",
            texts=(CorpusText(language="en", asset=_local(text)),),
            held_out=0.05,
            floor_characters=0,
        )
        return cls(conditions, shape, Teacher(name="random-teacher", asset=_local(folder)), corpus)

    @property
    def site(self) -> Site:
        """Where trials of this world run; no checkpoints are saved."""
        conditions = self.conditions
        runs = conditions.folder / "runs"
        return Site(runs, self.sources, device=conditions.device, checkpoint_seconds=float("inf"))

    @property
    def sources(self) -> Sources:
        """Sources with the cache of token blocks and the machine's profile."""
        return Sources(cache_dir=self.conditions.cache)

    def load_teacher(self) -> LoadedModel:
        """The teacher with its tokenizer, float32, on the CPU."""
        source = self.teacher.asset.sources[0]
        assert isinstance(source, LocalSource)
        return load_folder(Path(source.path))

    def build_student(self, teacher: LoadedModel, student: Student) -> torch.nn.Module:
        """The student of one of the harness's own trials, without dropout."""
        return build_student(teacher, student, Initialisation(), seed=1)

    def recipe(self, precision: Precision, steps: int = ENDLESS) -> Distil:
        """No dropout, AdamW, clipping at 1: the same as on every other side."""
        return Distil(
            steps=steps,
            warmup_steps=0,
            learning_rate=1e-4,
            batch_size=self.conditions.batch_size,
            length=self.conditions.length,
            precision=precision,
        )

    def batches(self, teacher: LoadedModel) -> list[Batch]:
        """The first batches that the harness's own trials read, on the device."""
        stream = BatchStream(self.blocks(teacher), self.recipe("fp32"), seed=1)
        return [stream.at(step).to(self.conditions.torch_device) for step in range(8)]

    def blocks(self, teacher: LoadedModel) -> TokenBlocks:
        """The corpus as token blocks."""
        return build_blocks(
            self.corpus, teacher.tokenizer, teacher.tokenizer_sha256, self.conditions.length, self.sources
        )

    def distil(
        self, method: str, student: Student, precision: Precision, seed: int = 1, steps: int = ENDLESS
    ) -> Trial:
        """A trial of one of the shipped methods."""
        chosen = Catalog().get("methods", method, Method)[1]
        job = DistilJob(
            teacher=ModelSource(teacher=self.teacher),
            method=chosen,
            student=student,
            init=Initialisation(),
            corpus=self.corpus,
            recipe=self.recipe(precision, steps),
            seed=seed,
        )
        return Trial(
            id=trial_id("distil", job, {}, ()),
            id_rule=RULE,
            kind="distil",
            recipe_version=1,
            job=job,
            data={},
            resources=Resources(cpus=self.conditions.threads, gpus=float(self.conditions.device == "cuda")),
        )


def _local(folder: Path) -> Asset:
    return Asset(sources=(LocalSource(path=str(folder)),))


def write_model(folder: Path, shape: Shape, pieces: BertWordPieceTokenizer) -> None:
    """Write a BERT of this shape with random weights, and its tokenizer."""
    torch.manual_seed(0)
    with quiet_transformers():
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.width,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                intermediate_size=shape.ffn,
            )
        )
        model.save_pretrained(folder)
        names = dict(zip(ROLES, SPECIAL, strict=True))
        PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, **names).save_pretrained(folder)


def _write_corpus(folder: Path, words: list[str]) -> None:
    draw = random.Random(0)
    folder.mkdir()
    lines = [" ".join(draw.choices(words, k=24)) + " ." for _ in range(WORDS // 24)]
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
