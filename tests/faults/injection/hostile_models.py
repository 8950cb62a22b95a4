"""Attacks on loading a checkpoint in the hub's layout."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.errors import InputError
from harness.models.loading import load_folder
from tests.faults.injection import bombs
from tests.faults.injection.mutations import damage_bytes, damage_data
from tests.trials.world import make_world

_AUTO = dict.fromkeys(
    ("AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoTokenizer"), "modeling_evil.Model"
)


def attacks(folder: Path) -> Callable[[Path, random.Random], str]:
    """Make a valid model below `folder`; returns the attack that alters a copy of it and loads that."""
    make_world(folder)
    return partial(_attack, folder / "teacher")


def _attack(honest: Path, place: Path, draw: random.Random) -> str:
    model = place / "model"
    shutil.copytree(honest, model)
    for _ in range(draw.choice((1, 1, 2))):
        draw.choice(_ALTERATIONS)(model, place, draw)
    try:
        load_folder(model)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"refused in more than one line: {error}") from error
        return "refused"
    return "loaded"


def _own_code(model: Path, place: Path, draw: random.Random) -> None:
    """Classes of the checkpoint's own, which `trust_remote_code` would run."""
    (model / "modeling_evil.py").write_text(bombs.python_source(place))
    path = model / draw.choice(("config.json", "tokenizer_config.json"))
    content = json.loads(path.read_bytes())
    content["auto_map"] = _AUTO
    if draw.random() < 0.5:
        content["model_type"] = content["tokenizer_class"] = "evil"
    path.write_text(json.dumps(content))


def _pickled_weights(model: Path, place: Path, draw: random.Random) -> None:
    name = draw.choice(("pytorch_model.bin", "model.pt", "model.safetensors", "training_args.bin"))
    (model / name).write_bytes(draw.choice((bombs.pickled, bombs.torch_zip))(place))
    if draw.random() < 0.5 and name != "model.safetensors":
        (model / "model.safetensors").unlink(missing_ok=True)


def _index(model: Path, place: Path, draw: random.Random) -> None:
    """A shard index that points elsewhere."""
    name = draw.choice(("../../undisturbed", "/etc/passwd", "pytorch_model.bin", "model.safetensors"))
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"bert.x": name}}))
    if draw.random() < 0.5:
        (model / "model.safetensors").unlink(missing_ok=True)


def _bytes(model: Path, place: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(path for path in model.iterdir() if path.is_file()))
    path.write_bytes(damage_bytes(path.read_bytes(), path.read_bytes(), draw))


def _data(model: Path, place: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(model.glob("*.json")))
    try:
        content = json.loads(path.read_bytes())
    except ValueError:  # altered before
        return
    path.write_text(json.dumps(damage_data(content, {"x": 1}, draw)))


_ALTERATIONS = (_own_code, _own_code, _pickled_weights, _index, _bytes, _data, _data)
