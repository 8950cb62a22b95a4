"""Checkpoints: what was saved comes back, and what was damaged is noticed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from harness.attempts.cadence import Cadence
from harness.attempts.checkpoints import Checkpoints

TENSORS = {
    "model/a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "model/empty": torch.zeros(0, 0),
    "step": torch.tensor(3.0),
    "random/cpu": torch.get_rng_state(),
    "weights": torch.rand(2, 2, dtype=torch.float64),
}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(7, TENSORS, {"tokens": 12, "list": [0.1, None, "x"]})
    found = Checkpoints(tmp_path).load()
    assert found is not None
    assert (found.step, found.facts) == (7, {"tokens": 12, "list": [0.1, None, "x"]})
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert found.below("model").keys() == {"a", "empty"}


def test_tied_weights_are_written_once_and_come_back_under_both_names(tmp_path: Path) -> None:
    shared = torch.rand(100, 100)
    Checkpoints(tmp_path).save(1, {"embedding": shared, "decoder": shared, "half": shared[:50]}, {})
    found = Checkpoints(tmp_path).load()
    assert found is not None
    assert torch.equal(found.tensors["decoder"], shared)
    assert torch.equal(found.tensors["half"], shared[:50])
    assert (tmp_path / "00000001" / "tensors.safetensors").stat().st_size < 1.6 * shared.nbytes


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15):
        checkpoints.save(step, TENSORS, {})
    assert checkpoints.steps == [15, 10]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove])
@pytest.mark.parametrize("name", ["tensors.safetensors", "facts.json", "manifest.json"])
def test_a_damaged_checkpoint_is_dropped_for_the_one_before(damage, name: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, TENSORS, {"at": 5})
    checkpoints.save(10, TENSORS, {"at": 10})
    damage(tmp_path / "00000010" / name)
    found = checkpoints.load()
    assert found is not None
    assert (found.step, found.facts, found.damaged) == (5, {"at": 5}, (10,))
    assert checkpoints.steps == [5]


def test_nothing_usable_means_a_fresh_start(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").load() is None
    Checkpoints(tmp_path).save(5, TENSORS, {})
    remove(tmp_path / "00000005" / "manifest.json")
    assert Checkpoints(tmp_path).load() is None


def test_a_checkpoint_that_could_not_be_finished_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, TENSORS, {})
    with pytest.raises(TypeError):
        checkpoints.save(10, TENSORS, {"not json": object()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000005"]


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    checkpoints = Checkpoints(tmp_path / "checkpoint")
    checkpoints.save(5, TENSORS, {})
    folder = tmp_path / "checkpoint" / "00000005"
    for name in ("tensors.safetensors", "facts.json", "manifest.json"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    assert checkpoints.load() is None
    assert not (tmp_path / "exploded").exists()


def test_a_manifest_that_names_other_files_reads_none_of_them(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    checkpoints.save(5, TENSORS, {})
    (tmp_path / "checkpoint" / "00000005" / "manifest.json").write_text(json.dumps({"/etc/passwd": "0"}))
    assert checkpoints.load() is None


def test_saving_takes_less_than_two_percent_of_the_time() -> None:
    now, saves = 0.0, 0
    cadence = Cadence(least=1.0, clock=lambda: now)

    def save() -> None:
        nonlocal now, saves
        now += 0.7
        saves += 1

    while now < 10_000:
        now += 0.1
        if cadence.due:
            cadence.run(save)
    assert saves > 100
    assert saves * 0.7 / now < 0.02
