"""Two processes that train one cohort come to what one comes to: curves, weights, faults, resumption."""

from __future__ import annotations

import gc
import multiprocessing
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from same_student import assert_same_student
from torch import nn

from harness.assets.sources import Sources
from harness.attempts.attempt import Attempt
from harness.attempts.faults import PeerError, is_out_of_memory
from harness.attempts.process_group import ProcessGroup, WorkerLostError
from harness.attempts.site import Site
from harness.errors import DeviceLostError
from harness.records.folder import TrialFolder
from harness.records.trial import Trial
from harness.training.member import Member
from harness.trials.run import TrialInterruptedError, follow, run_trials
from tests.trials.test_distil import FAMILIES
from tests.trials.world import World, distil_trial, stop_after

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["harness.trials.distil", "harness.trials.run"])
METHODS = ("od", "hs-uniform", "minilmv2", "hs-emd", "hs-random")


def in_two(scene: Callable[..., None], folder: Path, *arguments: object) -> tuple[int | None, ...]:
    """Play `scene(workers, *arguments)` in two processes that are a group; their exit codes."""
    folder.mkdir(parents=True, exist_ok=True)
    players = [
        PROCESSES.Process(target=_play, args=(rank, folder / "store", scene, arguments)) for rank in range(2)
    ]
    for player in players:
        player.start()
    for player in players:
        player.join(600)
    codes = tuple(player.exitcode for player in players)
    for player in players:
        player.kill()
    return codes


def _play(rank: int, store: Path, scene: Callable[..., None], arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    scene(ProcessGroup(), *arguments)
    dist.barrier()
    dist.destroy_process_group()


def train(
    workers: ProcessGroup, world: World, runs_dir: Path, trials: Sequence[Trial], stop: int = 0
) -> None:
    """The trials as a run of several workers has them; the leader is told to stop when it has asked `stop`
    times."""
    place = Site(runs_dir, Sources(cache_dir=world.folder / "cache"), workers=workers)
    Attempt.line_due = property(lambda self: True)  # type: ignore[assignment, method-assign]
    if not workers.leads:
        follow(place)
        return
    try:
        run_trials(trials, replace(place, stop=stop_after(stop)) if stop else place)
    except TrialInterruptedError:
        assert stop
    workers.call(None)


@pytest.fixture(scope="module")
def trials(world: World) -> list[Trial]:
    """A cohort of every kind of loss and of mapping."""
    return [distil_trial(world, FAMILIES[name], dropout=0.0) for name in METHODS]


@pytest.fixture(scope="module")
def alone(world: World, trials: list[Trial]) -> Path:
    """The runs directory of the cohort in one process."""
    place = world.site("in one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attempt, "line_due", property(lambda self: True))
        run_trials(trials, place)
    return place.runs_dir


def curve(runs_dir: Path, trial: Trial) -> list[float]:
    """The loss of every step."""
    return [line.loss for line in TrialFolder.of(runs_dir, trial.id).read_progress()]


def test_two_workers_learn_what_one_learns(
    world: World, tmp_path: Path, trials: list[Trial], alone: Path
) -> None:
    assert in_two(train, tmp_path, world, tmp_path, trials) == (0, 0)
    for trial in trials:
        result = TrialFolder.of(tmp_path, trial.id).read_result()
        assert result is not None
        assert result.status == "ok", result.error
        assert result.facts["workers"] == [2]
        assert result.tokens == 20 * 8 * 16
        one, two = curve(alone, trial), curve(tmp_path, trial)
        assert len(one) == 20
        assert two == pytest.approx(one, rel=1e-4)
        assert_same_student(*(TrialFolder.of(path, trial.id).model for path in (alone, tmp_path)))
        assert result.facts["held_out_after"]["loss"] < result.facts["held_out_before"]["loss"]


def test_what_two_workers_began_one_can_finish_and_the_other_way_round(
    world: World, tmp_path: Path, trials: list[Trial], alone: Path
) -> None:
    begun_by_two, begun_by_one = tmp_path / "2", tmp_path / "1"
    assert in_two(train, begun_by_two, world, begun_by_two, trials, 7) == (0, 0)
    place = world.site(str(begun_by_one), stop=stop_after(7))
    with pytest.raises(TrialInterruptedError):
        run_trials(trials, place)
    run_trials(trials, world.site(str(begun_by_two)))
    assert in_two(train, begun_by_one, world, begun_by_one, trials) == (0, 0)
    for trial in trials:
        for runs_dir in (begun_by_two, begun_by_one):
            result = TrialFolder.of(runs_dir, trial.id).read_result()
            assert result is not None
            assert result.facts["workers"] == [1, 2]
            assert result.resumed == 1
            assert_same_student(*(TrialFolder.of(path, trial.id).model for path in (alone, runs_dir)))


def memory_runs_out(workers: ProcessGroup, *arguments: object) -> None:
    """As `train`; one worker cannot hold whole batches."""
    learn = Member._learn

    def fragile(self: Member, parts: Sequence[object], counts: dict[str, int]) -> torch.Tensor:
        if len(parts) == 1 and not workers.leads:
            raise torch.OutOfMemoryError("does not fit")
        return learn(self, parts, counts)  # type: ignore[arg-type]

    Member._learn = fragile  # type: ignore[method-assign, assignment]
    train(workers, *arguments)  # type: ignore[arg-type]


def test_where_one_worker_runs_out_of_memory_all_take_smaller_parts(
    world: World, tmp_path: Path, trials: list[Trial], alone: Path
) -> None:
    assert in_two(memory_runs_out, tmp_path, world, tmp_path, trials) == (0, 0)
    for trial in trials:
        result = TrialFolder.of(tmp_path, trial.id).read_result()
        assert result is not None
        assert result.flags == ("micro_batches:2",)
        assert_same_student(*(TrialFolder.of(path, trial.id).model for path in (alone, tmp_path)))


def one_member_breaks(workers: ProcessGroup, *arguments: object) -> None:
    """As `train`; the method hs-uniform fails in one worker alone."""
    learn = Member._learn

    def fragile(self: Member, *arguments: object) -> torch.Tensor:
        if self.step == 3 and "hidden_states" in self.objective.terms and not workers.leads:
            raise ValueError("does not work here")
        return learn(self, *arguments)  # type: ignore[arg-type]

    Member._learn = fragile  # type: ignore[method-assign, assignment]
    train(workers, *arguments)  # type: ignore[arg-type]


def test_what_fails_in_one_worker_fails_that_member_alone(
    world: World, tmp_path: Path, trials: list[Trial], alone: Path
) -> None:
    od, hidden_states, relations = trials[:3]
    assert in_two(one_member_breaks, tmp_path, world, tmp_path, [od, hidden_states, relations]) == (0, 0)
    failed = TrialFolder.of(tmp_path, hidden_states.id).read_result()
    assert failed is not None
    assert failed.error is not None
    assert failed.error.message == "worker 1: ValueError: does not work here"
    for trial in (od, relations):
        assert_same_student(*(TrialFolder.of(path, trial.id).model for path in (alone, tmp_path)))


def one_worker_dies(workers: ProcessGroup, *arguments: object) -> None:
    """As `train`, until one worker dies without a word; the other leaves with a code of its own."""
    learn = Member._learn

    def fragile(self: Member, *arguments: object) -> torch.Tensor:
        if self.step == 3 and not workers.leads:
            os._exit(9)
        return learn(self, *arguments)  # type: ignore[arg-type]

    Member._learn = fragile  # type: ignore[method-assign, assignment]
    try:
        train(workers, *arguments)  # type: ignore[arg-type]
    except WorkerLostError:
        os._exit(5)


def test_a_worker_that_dies_ends_its_group_and_blames_no_trial(
    world: World, tmp_path: Path, trials: list[Trial]
) -> None:
    assert in_two(one_worker_dies, tmp_path, world, tmp_path, trials[:2]) == (5, 9)
    for trial in trials[:2]:
        assert TrialFolder.of(tmp_path, trial.id).read_result() is None


def one_device_breaks(workers: ProcessGroup, *arguments: object) -> None:
    """As `train`, until the card of one worker breaks; each leaves with a code of its own."""
    learn = Member._learn

    def fragile(self: Member, *arguments: object) -> torch.Tensor:
        if self.step == 3 and not workers.leads:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return learn(self, *arguments)  # type: ignore[arg-type]

    Member._learn = fragile  # type: ignore[method-assign, assignment]
    try:
        train(workers, *arguments)  # type: ignore[arg-type]
    except WorkerLostError:
        os._exit(5)
    except DeviceLostError:
        os._exit(6)


def test_a_worker_whose_device_breaks_leaves_its_group_and_blames_no_trial(
    world: World, tmp_path: Path, trials: list[Trial]
) -> None:
    assert in_two(one_device_breaks, tmp_path, world, tmp_path, trials[:1]) == (5, 6)
    assert TrialFolder.of(tmp_path, trials[0].id).read_result() is None


def add_up(workers: ProcessGroup) -> None:
    """Gradients here, there, everywhere and nowhere."""
    here, there, everywhere, nowhere = (nn.Parameter(torch.zeros(2, 3)) for _ in range(4))
    everywhere.grad = torch.full((2, 3), 1.0 + workers.rank)
    (there if workers.rank else here).grad = torch.full((2, 3), 5.0)
    losses = workers.combine([here, there, everywhere, nowhere], torch.tensor([0.5, workers.rank]))
    assert losses.tolist() == [1.0, 1.0]
    assert nowhere.grad is None
    for parameter, expected in ((here, 5.0), (there, 5.0), (everywhere, 3.0)):
        assert parameter.grad is not None
        assert parameter.grad.tolist() == [[expected] * 3] * 2
    assert workers.decided(workers.leads, False) == (True, False)
    with pytest.raises(Exception, match="worker 1"):
        workers.require_same("the number", workers.rank)


def test_gradients_are_summed_and_a_parameter_without_any_stays_without(tmp_path: Path) -> None:
    assert in_two(add_up, tmp_path) == (0, 0)


def memory_runs_out_between_the_exchanges(workers: ProcessGroup) -> None:
    """One worker cannot hold all gradients in one piece, once; both are still in step afterwards."""
    parameter = nn.Parameter(torch.zeros(2, 3))
    with pytest.MonkeyPatch.context() as patch:
        if not workers.leads:
            patch.setattr(torch, "cat", no_room)
        parameter.grad = torch.ones(2, 3)
        with pytest.raises(Exception, match="does not fit") as raised:
            workers.combine([parameter], torch.ones(1))
    assert is_out_of_memory(raised.value)
    assert workers.combine([parameter], torch.ones(1)).tolist() == [2.0]


def no_room(*_: object) -> None:
    """As where a card is full."""
    raise torch.OutOfMemoryError("does not fit")


def test_a_worker_without_room_for_the_gradients_does_not_lose_its_group(tmp_path: Path) -> None:
    assert in_two(memory_runs_out_between_the_exchanges, tmp_path) == (0, 0)


def a_step_fails(workers: ProcessGroup) -> None:
    """In one worker alone; what the step had computed is gone in both as soon as the error is dealt with."""
    gc.disable()
    seen: list[weakref.ref[torch.Tensor]] = []

    def step() -> None:
        activations = torch.zeros(1000)
        seen.append(weakref.ref(activations))
        with workers.together():
            if not workers.leads:
                no_room(activations)

    for _ in range(2):
        with suppress(torch.OutOfMemoryError, PeerError), workers.together():
            step()
    assert [tensor() for tensor in seen] == [None, None]


def test_a_failed_step_leaves_none_of_its_tensors_behind(tmp_path: Path) -> None:
    assert in_two(a_step_fails, tmp_path) == (0, 0)
