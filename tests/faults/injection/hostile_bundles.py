"""Attacks on `harness import`."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.errors import InputError
from harness.records.folder import trial_folders
from harness.results.bundle import bundle, import_bundle
from harness.results.verify import verify
from tests.faults.injection import bombs
from tests.faults.injection.mutations import VALUES, damage_bytes, damage_data
from tests.results import boards
from tests.results.ingredients import QUICK

NAMES = (
    "../executed", "../../executed", "/executed", "trials/../../executed", "trials/{id}/../../../executed",
    "trials/{id}/executed.py", "trials/{id}/trial.json/", "trials/{ID}/trial.json", "C:\\executed", "\\\\host\\share",
    "trials\\{id}\\trial.json", "./bundle.json", "trials//{id}/trial.json", "trials/{id}/model/model.safetensors",
    "trials/{id}/checkpoint/00000001/tensors.safetensors", "~/executed", "trials/{id}/result.json\x00.png",
    "bundle.json/x", "trials/" + "0" * 3000 + "/trial.json", "trials/{id}/.running", "results.duckdb", "driver.json",
)  # fmt: skip
"""Entries that do not belong in a bundle."""


def attacks(folder: Path) -> Callable[[Path, random.Random], str]:
    """Make a valid bundle below `folder`; returns the attack that alters a copy of it and imports that."""
    board = boards.Board(methods=("od",), students=("3L-192",), seeds=(1,), tasks=QUICK[:1], rows=60)
    boards.write_folders(folder / "runs", board, predictions=True)
    bundle(folder / "runs", folder / "honest")
    return partial(_attack, folder / "honest")


def _attack(honest: Path, place: Path, draw: random.Random) -> str:
    root = place / "bundle"
    shutil.copytree(honest, root)
    for _ in range(draw.choice((1, 1, 2))):
        draw.choice(_ALTERATIONS)(root, place, draw)
    if draw.random() < 0.8:
        _make_hashes_agree(root)
    path = _zipped(root, place, draw) if draw.random() < 0.5 else root
    runs = place / "imported"
    try:
        report = import_bundle(path, runs)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"refused in more than one line: {error}") from error
        if list(trial_folders(runs)):
            raise AssertionError("refused, and yet something was merged") from error
        return "refused"
    wrong = verify(runs)
    if wrong or len(report.merged) != len(list(trial_folders(runs))):
        raise AssertionError(f"imported, and yet: {[str(finding) for finding in wrong[:3]]}")
    return "imported"


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _bytes(root: Path, place: Path, draw: random.Random) -> None:
    path, other = draw.choice(_files(root)), draw.choice(_files(root))
    path.write_bytes(damage_bytes(path.read_bytes(), other.read_bytes(), draw))


def _data(root: Path, place: Path, draw: random.Random) -> None:
    documents = [path for path in _files(root) if path.suffix == ".json"]
    path, other = draw.choice(documents), draw.choice(documents)
    try:
        data, part = json.loads(path.read_bytes()), json.loads(other.read_bytes())
    except ValueError:  # altered before
        return
    if isinstance(data, (dict, list)) and isinstance(part, (dict, list)) and part:
        path.write_text(json.dumps(damage_data(data, part, draw)), encoding="utf-8")


def _bomb(root: Path, place: Path, draw: random.Random) -> None:
    make = draw.choice((bombs.pickled, bombs.torch_zip, bombs.parquet_with_a_pickled_type))
    tables = [path for path in _files(root) if path.suffix == ".parquet"]
    draw.choice(tables + _files(root)).write_bytes(make(place))


def _foreign_file(root: Path, place: Path, draw: random.Random) -> None:
    folder = draw.choice([root, root / "trials", *(root / "trials").iterdir()])
    if folder.is_dir():
        name = draw.choice(("evil.py", "conftest.py", "model.pkl", "...", " ", "trial.json.py", "a" * 200))
        (folder / name).write_text(bombs.python_source(place))


def _link(root: Path, place: Path, draw: random.Random) -> None:
    path = draw.choice(_files(root))
    path.unlink()
    path.symlink_to(draw.choice(("/etc/passwd", "/dev/zero", "..", str(place), path.name)))


def _pipe(root: Path, place: Path, draw: random.Random) -> None:
    path = draw.choice(_files(root))
    path.unlink()
    os.mkfifo(path)


def _nested(root: Path, place: Path, draw: random.Random) -> None:
    draw.choice(_files(root)).write_bytes(draw.choice((b"[", b'{"a":')) * draw.choice((1000, 100_000)))


def _manifest(root: Path, place: Path, draw: random.Random) -> None:
    path = root / "bundle.json"
    if not path.is_file():
        return
    try:
        manifest = json.loads(path.read_bytes())
        manifest[draw.choice(("format", "schema", "origin", "files", "x"))] = draw.choice(VALUES)
    except (ValueError, TypeError):  # altered before
        return
    path.write_text(json.dumps(manifest), encoding="utf-8")


_ALTERATIONS = (_bytes, _bytes, _data, _data, _data, _bomb, _foreign_file, _link, _pipe, _nested, _manifest)


def _make_hashes_agree(root: Path) -> None:
    """Recompute the hashes, as an attacker would."""
    path = root / "bundle.json"
    try:
        manifest = json.loads(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
    except (ValueError, RecursionError):
        return
    if isinstance(manifest, dict):
        manifest["files"] = {
            one.relative_to(root).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest()
            for one in _files(root)
            if one != path
        }
        path.write_text(json.dumps(manifest), encoding="utf-8")


def _zipped(root: Path, place: Path, draw: random.Random) -> Path:
    """The bundle as a zip, perhaps with an illegal entry, perhaps damaged as a zip."""
    path = place / "bundle.zip"
    identity = next((one.name for one in (root / "trials").iterdir()), "0" * 16)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # names twice
        for one in _files(root):
            archive.write(one, one.relative_to(root).as_posix())
        if draw.random() < 0.5:
            archive.writestr(*_foreign_entry(identity, draw))
    if draw.random() < 0.3:
        content = path.read_bytes()
        path.write_bytes(damage_bytes(content, content, draw))
    return path


def _foreign_entry(identity: str, draw: random.Random) -> tuple[zipfile.ZipInfo, bytes]:
    name = draw.choice((*NAMES, "bundle.json", "trials/{id}/trial.json"))
    entry = zipfile.ZipInfo(name.replace("{id}", identity).replace("{ID}", identity.upper()))
    entry.compress_type = draw.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    entry.external_attr = (
        draw.choice((0, 0o100644, 0o100777, 0o120777, 0o040755, 0o010644, 0o060644, 0o104755)) << 16
    )
    return entry, draw.choice((b"x", b"/etc/passwd", b"0" * (8 * 2**20), b"{}"))
