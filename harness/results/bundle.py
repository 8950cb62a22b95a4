"""Results shared as a folder or a zip: records and predictions, no weights, no pickles; checked
before anything is merged.

    bundle.json                       what it is, and the SHA-256 of every file
    trials/<id>/trial.json
    trials/<id>/result.json
    trials/<id>/predictions.parquet   of fine-tuning trials
    trials/<id>/progress.jsonl
"""

from __future__ import annotations

import json
import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from harness.base import Frozen
from harness.errors import InputError
from harness.files import sha256_of, write_atomically
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.records.trial import FinetuneJob, Trial
from harness.results import predictions
from harness.results import tables as rows
from harness.results.verify import (
    family_problems,
    result_problems,
    score_problems,
    trial_problems,
)

FILES = ("trial.json", "result.json", "predictions.parquet", "progress.jsonl")
"""Files that a trial's folder in a bundle may contain."""
MOST_TRIALS = 100_000
MOST_BYTES = {
    "bundle.json": 64 * 2**20,
    "trial.json": 4 * 2**20,
    "result.json": 16 * 2**20,
    "predictions.parquet": 512 * 2**20,
    "progress.jsonl": 64 * 2**20,
}
MOST_BYTES_IN_ALL = 16 * 2**30
MOST_RATIO = 200
"""Largest compression ratio of a file above one MiB in the zip."""
CURVE_POINTS = 40
"""Lines of a learning curve in a compact bundle, at most: first, last and evenly spaced ones between."""


_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, OSError, EOFError, ValueError,
)  # fmt: skip
"""Exceptions that `zipfile` and its decompressors raise on a damaged file."""


class Manifest(Frozen):
    """Content of bundle.json."""

    format: Literal["harness-bundle"] = "harness-bundle"
    schema_: Literal[1] = Field(default=1, alias="schema")
    origin: Annotated[str, Field(max_length=500)] = ""
    """Who made the bundle, in their own words."""
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    """Path -> SHA-256."""


@dataclass(frozen=True)
class ImportReport:
    """Ids of the trials in a bundle, by outcome."""

    merged: tuple[str, ...]
    known: tuple[str, ...]
    """Trials that already had a result here; left unchanged."""


def bundle(
    runs_dir: Path,
    out: Path,
    *,
    origin: str = "",
    trials: frozenset[str] | None = None,
    compact: bool = False,
) -> int:
    """Write the trials that ended well (or only those named) to `out`, a zip if it ends in `.zip`, else a new folder;
    returns their number.

    Fine-tuning trials without predictions are left out: their scores could not be checked. `compact`: predictions
    without the scores of each class, in the smallest integers that hold them, and `CURVE_POINTS` of a learning curve.
    """
    if out.exists():
        raise InputError(f"{out}: exists already; name a new file or folder")
    chosen = [folder for folder in trial_folders(runs_dir) if _can_be_shared(folder, trials)]
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as scratch:
        files = {
            f"trials/{folder.path.name}/{name}": folder.path / name
            for folder in chosen
            for name in FILES
            if (folder.path / name).is_file()
        }
        if compact:
            files = {name: _compacted(path, Path(scratch) / name) for name, path in files.items()}
        _write(out, files, origin)
    return len(chosen)


def trials_of_seed(runs_dir: Path, seed: int) -> frozenset[str]:
    """Ids of the trials of students distilled with `seed` and of trials that belong to no student, with everything they
    descend from: what a bundle of one seed holds, so that it can be read alone."""
    read = (folder.read_trial() for folder in trial_folders(runs_dir))
    trials = {trial.id: trial for trial in read if trial is not None}
    seeds = {id_: rows.trial_row(one, None, parents=trials).get("distil_seed") for id_, one in trials.items()}
    if seed not in seeds.values():
        known = ", ".join(map(str, sorted({one for one in seeds.values() if one is not None}))) or "none"
        raise InputError(f"--seed {seed}: {runs_dir} has no student of that seed; it has {known}")
    wanted = {id_ for id_, own in seeds.items() if own in (None, seed)}
    above = set(wanted)
    while above := {parent for id_ in above & trials.keys() for parent in trials[id_].parents} - wanted:
        wanted |= above
    return frozenset(wanted)


def _compacted(path: Path, out: Path) -> Path:
    """The file in its compact form, written to `out`; the JSON of records without indentation."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        predictions.compact(path, out)
    elif path.suffix == ".jsonl":
        lines = path.read_bytes().splitlines(keepends=True)
        kept = sorted({round(i * (len(lines) - 1) / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)})
        out.write_bytes(b"".join(lines if len(lines) <= CURVE_POINTS else [lines[i] for i in kept]))
    else:
        out.write_text(json.dumps(json.loads(path.read_bytes()), separators=(",", ":")), encoding="utf-8")
    return out


def _write(out: Path, files: dict[str, Path], origin: str) -> None:
    """A zip or folder of these files, name in it -> path, and the list of them."""
    manifest = Manifest(origin=origin, files={name: sha256_of(path) for name, path in files.items()})
    text = manifest.model_dump_json(indent=1, by_alias=True)
    if out.suffix == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(out, "x", compression=zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bundle.json", text)
            for name, path in files.items():
                archive.write(path, name, compresslevel=9)
    else:
        for name, path in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
        write_atomically(out / "bundle.json", text)


def _can_be_shared(folder: TrialFolder, wanted: frozenset[str] | None) -> bool:
    if wanted is not None and folder.path.name not in wanted:
        return False
    trial, result = folder.read_trial(), folder.read_result()
    if trial is None or result is None or result.status != "ok":
        return False
    return folder.predictions.is_file() if isinstance(trial.job, FinetuneJob) else True


def import_bundle(path: Path, runs_dir: Path) -> ImportReport:
    """Check everything in the bundle, then merge what is new into `runs_dir`; nothing is merged if anything is wrong.

    Checked: names and sizes, hashes, schema, ids against contents, scores against predictions, and that every parent is
    in the bundle or here. Raises InputError with one line. Each merged folder keeps `origin.json`.
    """
    with tempfile.TemporaryDirectory(prefix="harness-import-") as scratch:
        return _merged([_opened(path, Path(scratch))], runs_dir)


def import_readable(paths: Sequence[Path], runs_dir: Path) -> tuple[ImportReport, tuple[str, ...]]:
    """`import_bundle` of several that belong together: a parent may be in any of them. Also a line for each bundle that
    is left out because something in it is wrong."""
    with tempfile.TemporaryDirectory(prefix="harness-import-") as scratch:
        opened, problems = [], []
        for index, path in enumerate(paths):
            try:
                opened.append(_opened(path, Path(scratch) / str(index)))
            except InputError as error:
                problems.append(str(error))
        while True:  # a bundle that is left out may take the parents of another with it
            try:
                return _merged(opened, runs_dir), tuple(problems)
            except _FamilyError as error:
                problems.append(str(error))
                opened = [one for one in opened if one.path != error.path]


class _FamilyError(InputError):
    """A trial whose parents are missing or other than it states."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


@dataclass(frozen=True)
class _Opened:
    """A bundle whose files have been checked."""

    path: Path
    root: Path
    origin: str
    trials: dict[str, Trial]


def _opened(path: Path, scratch: Path) -> _Opened:
    root = _unpacked(path, scratch) if path.is_file() else _checked_folder(path)
    manifest = _manifest(root / "bundle.json", path)
    _check_files(root, manifest, path)
    trials = {folder.path.name: _checked_trial(folder, path) for folder in _folders(root)}
    return _Opened(path, root, manifest.origin, trials)


def _merged(bundles: Sequence[_Opened], runs_dir: Path) -> ImportReport:
    """Merge what is new, after checking descent over all of them."""
    checked = {name: trial for one in bundles for name, trial in one.trials.items()}
    here = {folder.path.name for folder in trial_folders(runs_dir) if folder.read_result()}
    everyone = _known_trials(runs_dir, here) | checked
    for one in bundles:
        for trial in one.trials.values():
            _check_family(one.path, trial, everyone)
    merged: set[str] = set()
    for one in bundles:
        for name in sorted(set(one.trials) - here - merged):
            _merge(one.root / "trials" / name, runs_dir / name, one.origin, one.path.name)
            merged.add(name)
    return ImportReport(tuple(sorted(merged)), tuple(sorted(set(checked) & here)))


def _check_family(path: Path, trial: Trial, everyone: dict[str, Trial]) -> None:
    for problem in family_problems(trial, everyone):
        raise _FamilyError(path, f"{trial.id}: {problem}")
    for parent in trial.makers:
        if parent not in everyone:
            raise _FamilyError(
                path,
                f"{trial.id} depends on {parent}, which is neither in the bundle nor in this runs directory",
            )


def _unpacked(path: Path, scratch: Path) -> Path:
    """The zip's files extracted below `scratch`, after checking every entry's name, kind and size."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_TRIALS * len(FILES):
                raise InputError(
                    f"{path}: {len(entries):,} entries; at most {MOST_TRIALS * len(FILES):,} are read"
                )
            names = [entry.filename for entry in entries if not entry.is_dir()]
            if len(set(names)) < len(names):
                raise InputError(f"{path}: two entries have the same name")
            if sum(entry.file_size for entry in entries) > MOST_BYTES_IN_ALL:
                raise InputError(f"{path}: unpacks to more than {MOST_BYTES_IN_ALL >> 30} GiB")
            for entry in entries:
                if not entry.is_dir():
                    _unpack(archive, entry, path, scratch)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as a zip ({error})") from error
    return scratch


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, scratch: Path) -> None:
    limit = _limit(entry.filename, path)
    kind = entry.external_attr >> 16
    if kind and not stat.S_ISREG(kind) and stat.S_IFMT(kind):
        raise InputError(f"{path}: {entry.filename!r} is not a plain file")
    if entry.file_size > 2**20 and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
        raise InputError(f"{path}: {entry.filename!r} is compressed too much to be genuine")
    target = scratch / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = limit
    with archive.open(entry) as source, target.open("wb") as sink:
        while block := source.read(min(2**20, left + 1)):
            left -= len(block)
            if left < 0:
                raise InputError(f"{path}: {entry.filename!r} is larger than {limit:,} bytes")
            sink.write(block)


def _limit(name: str, path: Path) -> int:
    """Largest allowed size of a file of that name, in bytes; InputError for a name that does not belong in a bundle."""
    parts = PurePosixPath(name).parts
    if name == "bundle.json":
        return MOST_BYTES[name]
    allowed = (
        len(parts) == 3
        and parts[0] == "trials"
        and len(parts[1]) == 16
        and set(parts[1]) <= set("0123456789abcdef")
        and parts[2] in FILES
        and name == "/".join(parts)
    )
    if not allowed:
        raise InputError(f"{path}: {name[:120]!r} does not belong in a bundle")
    return MOST_BYTES[parts[2]]


def _checked_folder(path: Path) -> Path:
    """A bundle that is a folder, after checking every name in it."""
    if not path.is_dir() or path.is_symlink():
        raise InputError(f"{path}: no such bundle")
    total = 0
    for count, inside in enumerate(path.rglob("*")):
        if count > MOST_TRIALS * (len(FILES) + 1):
            raise InputError(f"{path}: too many files")
        name = inside.relative_to(path).as_posix()
        if inside.is_symlink():
            raise InputError(f"{path}: {name!r} is a link")
        if inside.is_dir():
            continue
        if not inside.is_file():
            raise InputError(f"{path}: {name!r} is not a plain file")
        size = inside.stat().st_size
        total += size
        if size > _limit(name, path):
            raise InputError(f"{path}: {name!r} is larger than {_limit(name, path):,} bytes")
    if total > MOST_BYTES_IN_ALL:
        raise InputError(f"{path}: larger than {MOST_BYTES_IN_ALL >> 30} GiB")
    return path


def _manifest(file: Path, path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError, RecursionError) as error:
        raise InputError(f"{path}: bundle.json is missing or malformed ({_first(error)})") from error


def _check_files(root: Path, manifest: Manifest, path: Path) -> None:
    """InputError unless the files are exactly those of the manifest, with their hashes."""
    files = (file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    present = {*files} - {"bundle.json"}
    differing = sorted(present ^ set(manifest.files))
    if differing:
        raise InputError(f"{path}: {differing[0][:120]!r} is not both in bundle.json and in the bundle")
    for name, sha256 in manifest.files.items():
        if sha256_of(root / name) != sha256:
            raise InputError(f"{path}: {name} differs from the hash in bundle.json")


def _folders(root: Path) -> Iterator[TrialFolder]:
    yield from trial_folders(root / "trials")


def _checked_trial(folder: TrialFolder, path: Path) -> Trial:
    try:
        trial = Trial.model_validate_json((folder.path / "trial.json").read_bytes())
        result = Result.model_validate_json((folder.path / "result.json").read_bytes())
    except (OSError, ValidationError, RecursionError) as error:
        raise InputError(f"{path}: {folder.path.name} is malformed ({_first(error)})") from error
    problems = [*trial_problems(trial, folder.path.name), *result_problems(trial, result)]
    if isinstance(trial.job, FinetuneJob):
        if not folder.predictions.is_file():
            problems.append("its predictions are missing, so its scores cannot be checked")
        problems += score_problems(trial, result, folder.predictions)
    if problems:
        raise InputError(f"{path}: {folder.path.name}: {problems[0]}")
    rows.progress_rows(
        trial.id, folder.read_progress()
    )  # unreadable lines are skipped, nothing else may happen
    return trial


def _known_trials(runs_dir: Path, names: set[str]) -> dict[str, Trial]:
    read = ((name, TrialFolder.of(runs_dir, name).read_trial()) for name in names)
    return {name: trial for name, trial in read if trial is not None}


def _first(error: BaseException) -> str:
    """First line of an error message."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'file'}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _merge(source: Path, target: Path, origin: str, name: str) -> None:
    """Copy one checked folder, result.json last, so that a half-copied folder counts as unfinished."""
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "origin.json", json.dumps({"bundle": name, "origin": origin}, indent=2))
    for file in sorted(FILES, key=lambda one: one == "result.json"):
        if (source / file).is_file():
            if file.endswith(".json"):
                write_atomically(target / file, (source / file).read_text(encoding="utf-8"))
            else:
                shutil.copyfile(source / file, target / file)
