"""The model that a trial starts from: a checkpoint as shipped, or what another trial exported.

shipped:   fetch the files -> load the model -> trim its vocabulary, where the entry says so
exported:  load the folder -> compare its weights with the trial's result
start:     load the teacher -> build the student
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from harness.assets.fetch import opened
from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.corpora.blocks import build_blocks
from harness.errors import InputError, TrialError
from harness.models.e5_q4 import load_e5_q4
from harness.models.export import exported_sha256
from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.models.vocabulary import trim_vocabulary
from harness.records.folder import TrialFolder
from harness.records.trial import ModelSource, Start
from harness.shapes import check_declared
from harness.spec.entries import Corpus, Teacher

TRIMMING_LENGTH = 512
"""Tokens a block while the pieces of a corpus are counted. Another length would see the same pieces, but for those of
the rest that fills no block."""


def load_source(source: ModelSource | Start, site: Site) -> LoadedModel:
    """The model, its tokenizer and the SHA-256 of its weights.

    Raises TrialError `lost_input` where a parent's model is missing or is not the one its result names, AssetError
    where a shipped checkpoint cannot be had.
    """
    if isinstance(source, Start):
        return load_start(source, load_source(source.teacher, site), site.sources)
    if source.teacher is not None:
        return load_teacher(source.teacher, site.sources)
    if source.trial is None:
        raise ValueError("a model source names a teacher or a trial")
    return _load_exported(TrialFolder.of(site.runs_dir, source.trial), source.milestone)


def load_start(start: Start, teacher: LoadedModel, sources: Sources) -> LoadedModel:
    """The student as it starts. `teacher`: the start's, loaded."""
    checkpoint = start.init.checkpoint
    with opened(checkpoint, sources) if checkpoint else nullcontext() as files:
        model = build_student(
            teacher,
            start.student,
            start.init,
            seed=start.seed or 0,
            checkpoint=files.path if files else None,
        ).eval()
    shape = start.student.shape(teacher.shape)
    return LoadedModel(model, teacher.tokenizer, shape, exported_sha256(model.base_model))


def parents_sha256(source: ModelSource | Start, loaded: LoadedModel) -> dict[str, str]:
    """For the provenance: the trial (or the teacher's name, or `start`) -> SHA-256 of the weights used."""
    if isinstance(source, Start):
        return {"start": loaded.sha256}
    name = source.trial if source.trial is not None else source.teacher.name if source.teacher else ""
    return {name: loaded.sha256}


def load_teacher(teacher: Teacher, sources: Sources) -> LoadedModel:
    """A catalog entry, its vocabulary trimmed to the pieces of a corpus where the entry says so.

    Raises AssetError where checkpoint or corpus cannot be had or was replaced since the plan, InputError where the
    files are not what the entry declares.
    """
    with (
        opened(teacher.asset, sources) as files,
        opened(teacher.tokenizer or teacher.asset, sources) as pieces,
    ):
        if teacher.format == "e5-q4":
            loaded = load_e5_q4(_only_packed(files.matching("*.bin"), teacher.name), pieces.path)
        else:
            loaded = load_folder(files.path, pieces.path)
    if teacher.shape is not None:
        check_declared(teacher.shape, loaded.shape, teacher.name)
    if teacher.trim_vocabulary is None:
        return loaded
    if isinstance(teacher.trim_vocabulary, str):
        raise ValueError(f"trim_vocabulary: {teacher.trim_vocabulary!r} was not looked up in the catalog")
    return _trimmed_to(teacher.trim_vocabulary, loaded, sources)


def _load_exported(folder: TrialFolder, milestone: int | None) -> LoadedModel:
    trial = folder.path.name
    where = folder.model if milestone is None else folder.milestone(milestone)
    if not (where / "config.json").is_file():
        raise TrialError("lost_input", f"{where} is missing: the model of trial {trial} was removed")
    loaded = load_folder(where)
    result = folder.read_result()
    if milestone is None and result is not None and result.weights_sha256 not in (None, loaded.sha256):
        raise TrialError("lost_input", f"{where} does not hold the weights that trial {trial} recorded")
    return loaded


def _only_packed(packed: tuple[Path, ...], name: str) -> Path:
    if len(packed) != 1:
        raise InputError(f"{name}: the format e5-q4 is one *.bin file; the asset has {len(packed)}")
    return packed[0]


def _trimmed_to(corpus: Corpus, loaded: LoadedModel, sources: Sources) -> LoadedModel:
    blocks = build_blocks(corpus, loaded.tokenizer, loaded.tokenizer_sha256, TRIMMING_LENGTH, sources)
    return trim_vocabulary(loaded, blocks.pieces())
