"""What a student's card and result call untrained is, in every family, what its training left as it was."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from harness.families import FAMILIES
from harness.methods.terms import Embeddings
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.records.folder import TrialFolder
from harness.spec.entries import Method
from harness.spec.initialisation import Initialisation
from harness.trials.run import run_trials

from .test_distil import with_heads
from .world import TINY_STUDENT, World, distil_trial, make_world, method

METHODS = {
    "od": method("od"),
    "minilmv2": with_heads("minilmv2", 8),
    "embeddings": Method(name="embeddings", family="HS", objective=(Embeddings(),)),
    "scratch": method("scratch"),
}
"""One that trains the masked-LM head, and three that do not."""


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def world_of_a_family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny teacher of each family in turn."""
    return make_world(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_said_to_be_untrained_is_what_did_not_move(world_of_a_family: World, name: str) -> None:
    world, place = world_of_a_family, world_of_a_family.site()
    [result] = run_trials([distil_trial(world, METHODS[name], steps=2)], place)
    assert result.status == "ok", result.error
    folder = TrialFolder.of(place.runs_dir, result.trial_id).model
    teacher = load_folder(world.folder / "teacher")
    student = build_student(teacher, TINY_STUDENT, Initialisation(), seed=1)
    start = student.state_dict() if METHODS[name].trains_mlm_head else student.base_model.state_dict()
    end = load_file(folder / "model.safetensors")
    said = result.facts["untrained"]
    still = {key for key, weights in end.items() if weights.equal(start[key])}
    assert {key for key in end if said == ["the whole model"] or key.startswith(tuple(said))} == still
    assert all(f"- {part}\n" in (folder / "README.md").read_text() for part in said)


@pytest.mark.parametrize("name", METHODS)
def test_a_student_says_which_inputs_it_never_saw(world_of_a_family: World, name: str) -> None:
    world, place = world_of_a_family, world_of_a_family.site("unseen")
    [result] = run_trials([distil_trial(world, METHODS[name], steps=2)], place)
    card = (TrialFolder.of(place.runs_dir, result.trial_id).model / "README.md").read_text()
    config = load_folder(world.folder / "teacher").model.config
    longest = 64 - FAMILIES[config.model_type].positions_follow_padding * (config.pad_token_id + 1)
    expected = [f"positions 17 to {longest}"] + ["the second segment"] * (
        getattr(config, "type_vocab_size", 1) > 1
    )
    said = [part.partition(":")[0].removesuffix(" of a pair") for part in result.facts["unseen"]]
    assert said == ([] if name == "scratch" else expected)
    assert all(f"- {part}\n" in card for part in result.facts["unseen"])
    assert ("## What it never saw" in card) == (name != "scratch")
