"""The model that a trial starts from: a checkpoint as shipped, or what another trial exported."""

from __future__ import annotations

import hashlib

import numpy as np

from harness.assets.sources import Sources
from harness.corpora.blocks import TokenBlocks, build_blocks
from harness.devices.placement import Resolved, resolve_precision
from harness.errors import InputError, TrialError
from harness.models.loaded import Loaded
from harness.models.loading import load_folder, load_teacher
from harness.models.vocabulary import trim_vocabulary
from harness.records.folder import TrialFolder
from harness.records.trial import ModelSource
from harness.spec.entries import Teacher
from harness.spec.recipes import Precision
from harness.training.attempt import Attempt, Workplace
from harness.training.checkpoints import Checkpoint

TRIMMING_LENGTH = 512
"""Tokens a block while the pieces of a corpus are counted; any length sees the same pieces but for a last
rest."""


def load_source(source: ModelSource, workplace: Workplace) -> Loaded:
    """The model, its tokenizer and the SHA-256 of its weights.

    Raises TrialError `lost_input` where a parent's model is missing or is not the one its result names,
    AssetError where a shipped checkpoint cannot be had.
    """
    if source.teacher is not None:
        return load_shipped(source.teacher, workplace.sources)
    if source.trial is None:
        raise ValueError("a model source names a teacher or a trial")
    folder = TrialFolder.of(workplace.runs_dir, source.trial)
    where = folder.model if source.milestone is None else folder.milestone(source.milestone)
    if not (where / "config.json").is_file():
        raise TrialError("lost_input", f"{where} is missing: the model of trial {source.trial} was removed")
    loaded = load_folder(where)
    result = folder.read_result()
    if source.milestone is None and result is not None and result.weights_sha256 not in (None, loaded.sha256):
        raise TrialError("lost_input", f"{where} does not hold the weights that trial {source.trial} left")
    return loaded


def load_shipped(teacher: Teacher, sources: Sources) -> Loaded:
    """A catalog entry, its vocabulary trimmed to the pieces of a corpus where the entry says so.

    Raises AssetError where checkpoint or corpus cannot be had."""
    loaded = load_teacher(teacher, sources)
    if teacher.trim_vocabulary is None:
        return loaded
    if isinstance(teacher.trim_vocabulary, str):
        raise ValueError(f"trim_vocabulary: {teacher.trim_vocabulary!r} was not looked up in the catalog")
    blocks = build_blocks(
        teacher.trim_vocabulary, loaded.tokenizer, tokenizer_sha256(loaded), TRIMMING_LENGTH, sources
    )
    used: set[int] = set()
    for language in blocks.languages:
        for part in (blocks.training(language), blocks.held_out_blocks(language)):
            used |= set(np.unique(part).tolist())
    return trim_vocabulary(loaded, used)


def check_length(loaded: Loaded, length: int) -> None:
    """Raise InputError where inputs of `length` tokens are longer than the model has positions for."""
    if length > longest_input(loaded):
        raise InputError(f"length {length} is longer than the model's {longest_input(loaded)} positions")


def longest_input(loaded: Loaded) -> int:
    """Tokens that the model has positions for."""
    config = loaded.model.config
    counted_from_padding = config.model_type in ("roberta", "xlm-roberta")
    return int(config.max_position_embeddings - (config.pad_token_id + 1 if counted_from_padding else 0))


def started_precision(precision: Precision, checkpoint: Checkpoint | None, attempt: Attempt) -> Resolved:
    """What a trial computes in: what it started in, where it is taken up again; fp32 where bf16 has failed;
    else by rule."""
    if checkpoint is not None:
        started_in: Resolved = checkpoint.facts["precision"]
        return started_in
    return "fp32" if attempt.fallbacks else resolve_precision(precision, attempt.workplace.torch_device)


def parents_sha256(source: ModelSource, loaded: Loaded) -> dict[str, str]:
    """For the provenance: the trial (or the teacher's name) -> SHA-256 of the weights used."""
    name = source.trial if source.trial is not None else source.teacher.name if source.teacher else ""
    return {name: loaded.sha256}


def tokenizer_sha256(loaded: Loaded) -> str:
    """Identity of a tokenizer by its whole content."""
    backend = loaded.tokenizer.backend_tokenizer
    return hashlib.sha256(backend.to_str().encode("utf-8")).hexdigest()


def thin_languages(blocks: TokenBlocks) -> tuple[str, ...]:
    """Flags `thin_language:<code>` of languages with less text than the corpus's floor."""
    return tuple(f"thin_language:{code}" for code, entry in blocks.languages.items() if entry.text.thin)
