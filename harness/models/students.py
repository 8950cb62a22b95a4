"""Build a student: its teacher's family, vocabulary and positions, its own depth, width, heads and feed-forward size."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from harness.errors import InputError
from harness.models.configs import resized, with_dropout
from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder
from harness.models.projected_start import start_from_teacher
from harness.models.random_encoder import build_encoder
from harness.shapes import Shape
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation


def build_student(
    teacher: LoadedModel,
    student: Student,
    init: Initialisation,
    *,
    seed: int,
    dropout: float = 0.0,
    checkpoint: Path | None = None,
) -> PreTrainedModel:
    """A student as `...ForMaskedLM`, float32, on CPU, in train mode.

    The weights are a function of (teacher's config, student, init, seed): torch's own generator is left as it was.
    `checkpoint` is the folder of `init.checkpoint`. Raises InputError where the initialisation cannot fit the student."""
    shape = student.shape(teacher.shape)
    problem = next(init.problems(teacher.shape, shape), None)
    if problem is not None:
        raise InputError(f"student {student.name}: {problem.message}")
    if init.source == "checkpoint":
        if checkpoint is None:
            raise ValueError("a checkpoint initialisation needs the checkpoint's folder")
        return _from_checkpoint(checkpoint, shape, teacher, dropout).train()
    model = build_encoder(student_config(teacher.model.config, shape, dropout), seed)
    if init.source == "teacher":
        if teacher.model.dtype != torch.float32:
            raise ValueError(
                f"the teacher is in {teacher.model.dtype}: students are copied from it before that"
            )
        start_from_teacher(teacher, model, shape, init.copied_layers(teacher.shape.layers, shape.layers))
    return model.train()


def student_config(teacher: PreTrainedConfig, shape: Shape, dropout: float) -> PreTrainedConfig:
    """The teacher's config with the student's size and dropout."""
    return with_dropout(resized(teacher, shape), dropout)


def _from_checkpoint(folder: Path, shape: Shape, teacher: LoadedModel, dropout: float) -> PreTrainedModel:
    loaded = load_folder(folder, dropout=dropout)
    for name in ("model_type", "layers", "width", "heads", "ffn", "vocabulary"):
        have, want = getattr(loaded.shape, name), getattr(shape, name)
        if have != want:
            raise InputError(f"{folder}: the initial checkpoint has {name} {have}; the student needs {want}")
    if loaded.tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
        raise InputError(
            f"{folder}: the initial checkpoint has a different tokenizer; it must be the teacher's"
        )
    have, want = (m.config.max_position_embeddings for m in (loaded.model, teacher.model))
    if have < want:
        raise InputError(
            f"{folder}: the initial checkpoint has {have} positions; it must have the teacher's {want}"
        )
    return loaded.model
