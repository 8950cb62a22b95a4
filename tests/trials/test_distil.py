"""Students distilled for real from a tiny teacher: alone, in company, interrupted, failing."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from same_student import assert_same_student
from transformers import AutoModel, AutoModelForMaskedLM

from harness.assets.sources import Sources
from harness.attempts.faults import TrialInterruptedError
from harness.corpora.blocks import build_blocks
from harness.corpora.stream import held_out_batches
from harness.errors import TrialError
from harness.models.loading import load_folder
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import DistilJob, Trial
from harness.spec.entries import Method
from harness.spec.initialisation import Initialisation
from harness.trials.run import run_trials

from .world import (
    FLAT_STUDENT,
    RECIPE,
    TINY_STUDENT,
    World,
    distil_trial,
    local,
    make_world,
    method,
    prepare_trial,
    stop_after,
)


def with_heads(name: str, heads: int) -> Method:
    """A shipped method with another number of relation heads, one that divides the tiny widths."""
    shipped = method(name)
    terms = [
        term.model_copy(update={"heads": heads}) if hasattr(term, "heads") else term
        for term in shipped.objective
    ]
    return shipped.model_copy(update={"objective": tuple(terms)})


FAMILIES = {
    "od": method("od"),
    "hs-uniform": method("hs-uniform"),
    "hs-emd": method("hs-emd"),
    "hs-random": method("hs-random"),
    "minilmv2": with_heads("minilmv2", 8),
    "direct-minilm": with_heads("direct-minilm", 8),
    "mlm-only": method("mlm-only"),
}


@pytest.fixture(scope="module")
def alone(world: World) -> dict[str, Result]:
    """Every family trained by itself."""
    place = world.site("alone")
    return {name: run_trials([distil_trial(world, one)], place)[0] for name, one in FAMILIES.items()}


def weights(result: Result) -> str:
    """What two runs must agree on to the last bit."""
    assert result.status == "ok", result.error
    assert result.weights_sha256 is not None
    return result.weights_sha256


def exported(folder: TrialFolder) -> dict[str, torch.Tensor]:
    """The weights of the model that a trial left."""
    return load_file(folder.model / "model.safetensors")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_student_lowers_its_own_loss_on_held_out_text(name: str, alone: dict[str, Result]) -> None:
    facts = alone[name].facts
    assert facts["held_out_after"]["loss"] < facts["held_out_before"]["loss"]
    assert facts["held_out_after"]["terms"].keys() == facts["held_out_before"]["terms"].keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_student_loads_with_from_pretrained(name: str, world: World, alone: dict[str, Result]) -> None:
    folder = TrialFolder.of(world.site("alone").runs_dir, alone[name].trial_id)
    _, report = AutoModel.from_pretrained(folder.model, add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"]
    if FAMILIES[name].trains_mlm_head:
        _, report = AutoModelForMaskedLM.from_pretrained(folder.model, output_loading_info=True)
        assert not report["missing_keys"]


def test_masked_accuracy_is_reported_only_where_a_term_trained_the_head(alone: dict[str, Result]) -> None:
    for name, result in alone.items():
        metrics = {measurement.metric for measurement in result.measurements}
        assert ("masked_accuracy" in metrics) == FAMILIES[name].trains_mlm_head


def test_operations_are_those_of_the_student_three_times_and_of_the_teacher_as_far_as_it_is_read(
    world: World, alone: dict[str, Result]
) -> None:
    result = alone["od"]
    blocks, n, positions = 8, 16, round(8 * 16 * 0.15)
    config = json.loads((world.folder / "teacher" / "config.json").read_text())
    teacher = 4 * blocks * (2 * n * (4 * 32**2 + 2 * 32 * 64) + 4 * n**2 * 32)
    teacher += positions * 2 * (32**2 + 32 * config["vocab_size"])
    student = 2 * blocks * (2 * n * (4 * 16**2 + 2 * 16 * 32) + 4 * n**2 * 16)
    student += positions * 2 * (16**2 + 16 * config["vocab_size"])
    assert result.flops == 20 * (teacher + 3 * student)
    assert result.tokens_per_second is not None
    assert result.flops_per_second is not None
    assert result.provenance.matmul_peak is not None
    seconds = 20 * 8 * 16 / result.tokens_per_second
    assert result.flops_per_second == pytest.approx(result.flops / seconds)
    assert result.utilisation == pytest.approx(result.flops_per_second / result.provenance.matmul_peak)


def test_every_step_and_token_is_accounted_for(world: World, alone: dict[str, Result]) -> None:
    result = alone["od"]
    lines = list(TrialFolder.of(world.site("alone").runs_dir, result.trial_id).read_progress())
    assert lines[-1].step == lines[-1].steps == 20
    assert result.tokens == 20 * 8 * 16
    assert result.tokens_per_second is not None
    assert result.tokens_per_second > 0
    assert 0 < result.seconds <= result.finished_at - result.started_at


def test_a_cohort_trains_every_member_as_if_it_were_alone(world: World, alone: dict[str, Result]) -> None:
    trials = [distil_trial(world, one) for one in FAMILIES.values()]
    for name, result in zip(FAMILIES, run_trials(trials, world.site("together")), strict=True):
        assert weights(result) == weights(alone[name]), name
        assert result.facts["held_out_after"] == alone[name].facts["held_out_after"]
        assert result.facts["cohort"] == len(trials)


def test_a_recorded_success_is_not_run_again(world: World, alone: dict[str, Result]) -> None:
    [again] = run_trials([distil_trial(world, FAMILIES["od"])], world.site("alone"))
    assert again == alone["od"]


@pytest.mark.parametrize("name", ["od", "hs-emd", "hs-random", "minilmv2"])
def test_a_student_interrupted_twice_ends_with_the_same_bits(
    name: str, world: World, alone: dict[str, Result], tmp_path: Path
) -> None:
    trial = distil_trial(world, FAMILIES[name])
    for steps in random.Random(name).sample(range(1, 10), 2):
        with pytest.raises(TrialError, match="the next run goes on from there") as stopped:
            run_trials([trial], world.site(str(tmp_path), stop=stop_after(steps)))
        assert stopped.value.reason == "interrupted"
    [resumed] = run_trials([trial], world.site(str(tmp_path)))
    assert weights(resumed) == weights(alone[name])
    assert resumed.facts["held_out_after"] == alone[name].facts["held_out_after"]
    assert (resumed.resumed, resumed.tokens) == (2, alone[name].tokens)
    assert not TrialFolder.of(tmp_path, trial.id).checkpoint.exists()


def test_a_member_that_was_interrupted_alone_goes_on_in_a_cohort(
    world: World, alone: dict[str, Result], tmp_path: Path
) -> None:
    trials = [distil_trial(world, FAMILIES[name]) for name in ("od", "hs-emd")]
    with pytest.raises(TrialError, match="goes on"):
        run_trials(trials[:1], world.site(str(tmp_path), stop=stop_after(3)))
    first, second = run_trials(trials, world.site(str(tmp_path)))
    assert weights(first) == weights(alone["od"])
    assert weights(second) == weights(alone["hs-emd"])


def test_a_member_that_turns_nan_ends_alone_and_says_where(
    world: World, alone: dict[str, Result], tmp_path: Path
) -> None:
    trials = [poisoned(world, tmp_path), distil_trial(world, FAMILIES["od"])]
    failed, well = run_trials(trials, world.site(str(tmp_path / "runs")))
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.reason, failed.error.step, failed.error.term) == ("nan", 0, "hidden_states")
    assert weights(well) == weights(alone["od"])


def poisoned(world: World, folder: Path) -> Trial:
    """A student that starts from weights with a NaN in them."""
    [built] = run_trials([distil_trial(world, "scratch")], world.site(str(folder / "scratch")))
    start = folder / "start"
    shutil.copytree(TrialFolder.of(folder / "scratch", built.trial_id).model, start)
    tensors = load_file(start / "model.safetensors")
    tensors["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(tensors, start / "model.safetensors", metadata={"format": "pt"})
    trial = distil_trial(world, FAMILIES["hs-uniform"])
    assert isinstance(trial.job, DistilJob)
    init = Initialisation(source="checkpoint", checkpoint=local(start))
    return trial.model_copy(update={"id": "0" * 16, "job": trial.job.model_copy(update={"init": init})})


def test_micro_batches_learn_the_same_up_to_rounding(world: World, alone: dict[str, Result]) -> None:
    from harness.training.micro_batches import MicroBatches

    trial = distil_trial(world, FAMILIES["hs-emd"], dropout=0.0)
    whole, split = world.site("whole"), world.site("split")
    run_trials([trial], whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.training.state.MicroBatches", lambda rows=3: MicroBatches(rows))
        [result] = run_trials([trial], split)
    assert result.flags == ("micro_batches:3",)
    assert_same_student(*(TrialFolder.of(place.runs_dir, trial.id).model for place in (whole, split)))


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    from harness.training.micro_batches import MicroBatches

    undone: list[int | None] = []
    batches = MicroBatches()

    def step(rows: int | None) -> torch.Tensor:
        if rows is None or rows > 2:
            raise torch.OutOfMemoryError("does not fit")
        return torch.tensor(float(rows))

    assert batches.run(7, step, lambda: undone.append(batches.rows)) == 2.0
    assert undone == [4, 2]
    assert batches.flags == ("micro_batches:2",)


def test_a_step_that_fails_for_another_reason_is_not_tried_in_parts() -> None:
    from harness.training.micro_batches import MicroBatches

    def step(rows: int | None) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatches().run(4, step, lambda: None)


def test_milestones_are_students_of_their_own(world: World, tmp_path: Path) -> None:
    trial = distil_trial(world, FAMILIES["od"], milestones=(2, 4))
    [result] = run_trials([trial], world.site(str(tmp_path)))
    folder = TrialFolder.of(tmp_path, trial.id)
    hashes = [
        load_file(path / "model.safetensors")["bert.embeddings.word_embeddings.weight"].sum().item()
        for path in (folder.milestone(2), folder.milestone(4), folder.model)
    ]
    assert result.status == "ok"
    assert len(set(hashes)) == 3


def test_a_milestone_that_is_added_trains_the_student_again_and_keeps_those_before(
    world: World, tmp_path: Path
) -> None:
    place, steps = world.site(str(tmp_path)), ((), (2,), (4,), (2, 4), ())
    trials = [distil_trial(world, FAMILIES["od"], milestones=milestones) for milestones in steps]
    folder = TrialFolder.of(tmp_path, trials[0].id)
    results = [run_trials([trial], place)[0] for trial in trials]
    assert len({trial.id for trial in trials}) == 1
    assert [one.finished_at for one in results[2:]] == [results[2].finished_at] * 3
    assert len({one.finished_at for one in results}) == 3
    assert len({one.weights_sha256 for one in results}) == 1
    assert {path.name for path in (folder.path / "milestones").iterdir()} == {"2", "4"}


def test_a_milestone_added_behind_a_checkpoint_starts_the_student_afresh(
    world: World, tmp_path: Path
) -> None:
    trial = distil_trial(world, FAMILIES["od"])
    with pytest.raises(TrialInterruptedError):
        run_trials([trial], world.site(str(tmp_path), stop=stop_after(3)))
    [result] = run_trials([trial.with_milestones((2,))], world.site(str(tmp_path)))
    assert (result.status, result.resumed) == ("ok", 0)
    assert TrialFolder.of(tmp_path, trial.id).milestone(2).is_dir()


def test_controls_are_exported_untrained_and_say_so(world: World, tmp_path: Path) -> None:
    for name in ("scratch", "truncated-teacher"):
        [result] = run_trials([distil_trial(world, name, student=FLAT_STUDENT)], world.site(str(tmp_path)))
        assert result.facts["untrained"] == ["the whole model"]
        assert (
            "- the whole model" in (TrialFolder.of(tmp_path, result.trial_id).model / "README.md").read_text()
        )


def test_what_relations_leave_untrained_is_named(world: World, alone: dict[str, Result]) -> None:
    top = f"encoder.layer.{TINY_STUDENT.layers - 1}"
    assert set(alone["minilmv2"].facts["untrained"]) == {
        f"{top}.attention.output",
        f"{top}.intermediate",
        f"{top}.output",
    }
    assert alone["hs-uniform"].facts["untrained"] == []


def test_a_method_that_the_loaded_teacher_cannot_serve_fails_with_the_remedy(
    world: World, tmp_path: Path
) -> None:
    headless = make_headless(world, tmp_path)
    [result] = run_trials([distil_trial(headless, "od")], headless.site("runs"))
    assert result.error is not None
    assert "no trained masked-LM head" in result.error.message


def make_headless(world: World, folder: Path) -> World:
    """A world whose teacher is an encoder only."""
    other = make_world(folder / "headless")
    model = AutoModel.from_pretrained(other.folder / "teacher", add_pooling_layer=False)
    shutil.rmtree(other.folder / "teacher")
    model.save_pretrained(other.folder / "teacher")
    for path in (world.folder / "teacher").glob("tokenizer*"):
        shutil.copy(path, other.folder / "teacher")
    return other


@pytest.mark.parametrize("train", ["all", "head"])
def test_a_prepared_teacher_predicts_held_out_text_better(train: str, world: World, tmp_path: Path) -> None:
    [result] = run_trials([prepare_trial(world, train=train)], world.site(str(tmp_path)))
    values = {one.metric: one.value for one in result.measurements}
    assert values["perplexity"] < values["perplexity_before"]
    folder = TrialFolder.of(tmp_path, result.trial_id)
    before, after = (
        load_file(path / "model.safetensors") for path in (world.folder / "teacher", folder.model)
    )
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert all(name.startswith("cls.") for name in changed) == (train == "head")
    assert changed


def test_a_prepared_teacher_interrupted_ends_with_the_same_bits(world: World, tmp_path: Path) -> None:
    trial = prepare_trial(world)
    [straight] = run_trials([trial], world.site(str(tmp_path / "straight")))
    with pytest.raises(TrialError):
        run_trials([trial], world.site(str(tmp_path / "broken"), stop=stop_after(11)))
    [resumed] = run_trials([trial], world.site(str(tmp_path / "broken")))
    assert weights(resumed) == weights(straight)


def test_bf16_training_is_as_repeatable_as_fp32(world: World, tmp_path: Path) -> None:
    trials = [distil_trial(world, FAMILIES[name], precision="bf16") for name in ("hs-emd", "minilmv2")]
    both = run_trials(trials, world.site(str(tmp_path / "both")))
    [single] = run_trials(trials[:1], world.site(str(tmp_path / "single")))
    assert weights(both[0]) == weights(single)
    assert {result.provenance.precision for result in both} == {"bf16"}


@pytest.mark.parametrize(("clip_norm", "clipped"), [(1e-9, 1.0), (1e9, 0.0), (None, None)])
def test_progress_tells_the_share_of_steps_that_were_clipped(
    world: World, clip_norm: float | None, clipped: float | None
) -> None:
    place = world.site(f"clipped at {clip_norm}")
    trial = distil_trial(world, "hs-last", steps=4, clip_norm=clip_norm)
    assert run_trials([trial], place)[0].status == "ok"
    folder = TrialFolder.of(place.runs_dir, trial.id)
    lines = list(folder.read_progress())
    assert lines
    assert {line.clipped for line in lines} == {clipped}
    text = folder.progress_file.read_text(encoding="utf-8")
    folder.progress_file.write_text(re.sub(r',"clipped":[^,}]*', "", text), encoding="utf-8")
    before_there_was_the_field = list(folder.read_progress())
    assert before_there_was_the_field == [line.model_copy(update={"clipped": None}) for line in lines]


def test_the_teachers_masked_accuracy_stands_beside_that_of_whoever_learns_its_predictions(
    world: World, alone: dict[str, Result]
) -> None:
    values = {name: {one.metric: one.value for one in result.measurements} for name, result in alone.items()}
    for name, result in alone.items():
        reads_its_head = any(term.needs_mlm_head for term in FAMILIES[name].objective)
        assert ("teacher_masked_accuracy" in values[name]) == reads_its_head
        assert result.facts["held_out_after"]["teacher_masked_accuracy"] == values[name].get(
            "teacher_masked_accuracy"
        )
    teacher = load_folder(world.folder / "teacher")
    blocks = build_blocks(
        world.corpus,
        teacher.tokenizer,
        teacher.tokenizer_sha256,
        RECIPE.length,
        Sources(cache_dir=world.folder / "cache"),
    )
    right, positions = 0, 0
    with torch.no_grad():
        for batch in held_out_batches(blocks, RECIPE, max_blocks=256):
            logits = teacher.model.eval()(batch.input_ids, attention_mask=batch.attention_mask).logits
            chosen = batch.masked_positions
            right += int((logits.argmax(dim=-1)[chosen] == batch.labels[chosen]).sum())
            positions += int(chosen.sum())
    assert values["od"]["teacher_masked_accuracy"] == pytest.approx(right / positions)
