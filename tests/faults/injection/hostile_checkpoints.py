"""Attacks on the checkpoints of a running trial."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.errors import TrialError
from harness.records.folder import TrialFolder
from harness.records.trial import Trial
from harness.trials.run import run_trials
from tests.faults.injection import bombs
from tests.faults.injection.mutations import damage_bytes, damage_data
from tests.trials.world import World, distil_trial, make_world, stop_after

STEPS = 4
NEWEST = "00000003"
"""Folder of the newest checkpoint of the valid trial; the one before is kept too."""
_FILES = ("tensors.safetensors", "facts.json", "manifest.json")


def attacks(folder: Path) -> Callable[[Path, random.Random], str]:
    """Interrupt a valid trial below `folder`; returns the attack that alters a copy of its
    checkpoints and resumes it."""
    world = make_world(folder / "world")
    trial = distil_trial(world, "hs-last", steps=STEPS, warmup_steps=1)
    for steps in (2, 1):
        try:
            run_trials([trial], world.site(str(folder / "honest"), stop=stop_after(steps)))
        except TrialError as error:
            if error.reason != "interrupted":
                raise
    honest = TrialFolder.of(folder / "honest", trial.id)
    if not (honest.checkpoint / NEWEST).is_dir():
        raise RuntimeError(f"the honest trial left {sorted(honest.checkpoint.iterdir())}")
    [undisturbed] = run_trials([trial], world.site(str(folder / "undisturbed")))
    return partial(_attack, world, trial, honest.path, str(undisturbed.weights_sha256))


def _attack(world: World, trial: Trial, honest: Path, weights: str, place: Path, draw: random.Random) -> str:
    runs = place / "runs"
    shutil.copytree(honest, runs / trial.id)
    newest = TrialFolder.of(runs, trial.id).checkpoint / NEWEST
    altered = draw.choice(_FILES)
    draw.choice(_ALTERATIONS)(newest / altered, place, draw)
    agreed = draw.random() < 0.5
    if agreed:
        _make_hashes_agree(newest)
    [result] = run_trials([trial], world.site(str(runs)))
    if result.status == "failed":
        return "failed the trial"
    dropped = any(flag.startswith("corrupt_checkpoint") for flag in result.flags)
    if dropped and result.weights_sha256 != weights:
        raise AssertionError("the checkpoint before was used and led elsewhere")
    return "dropped" if dropped else "taken up"


def _bytes(path: Path, place: Path, draw: random.Random) -> None:
    path.write_bytes(damage_bytes(path.read_bytes(), path.read_bytes(), draw))


def _data(path: Path, place: Path, draw: random.Random) -> None:
    facts = path.with_name("facts.json")
    facts.write_text(json.dumps(damage_data(json.loads(facts.read_bytes()), {"x": 1}, draw)))


def _header(path: Path, place: Path, draw: random.Random) -> None:
    """The safetensors header is JSON after its own length."""
    tensors = path.with_name("tensors.safetensors")
    content = tensors.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(damage_data(json.loads(content[8:end]), {"x": 1}, draw)).encode()
    length = draw.choice((len(header), len(header), 2**63, 0, end))
    tensors.write_bytes(length.to_bytes(8, "little") + header + content[end:])


def _bomb(path: Path, place: Path, draw: random.Random) -> None:
    path.write_bytes(draw.choice((bombs.pickled, bombs.torch_zip))(place))


def _link(path: Path, place: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(draw.choice(("/etc/passwd", "..", path.name, "/nowhere")))


_ALTERATIONS = (_bytes, _bytes, _data, _data, _header, _bomb, _link)


def _make_hashes_agree(folder: Path) -> None:
    hashes = {}
    for name in _FILES[:2]:
        path = folder / name
        if not path.is_file():
            return
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = folder / "manifest.json"
    manifest.unlink(missing_ok=True)
    manifest.write_text(json.dumps(hashes), encoding="utf-8")
