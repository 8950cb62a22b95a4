"""A ModernBERT teacher in hub layout, from plan to ranking; its students in cohorts, interrupted, copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM

from harness.cli import main
from harness.errors import TrialError
from harness.records.folder import TrialFolder, trial_folders
from harness.trials.run import run_trials
from tests.faults.injection.tiny import write_spec

from .test_distil import weights, with_heads
from .world import TINY_STUDENT, World, distil_trial, make_world, method, stop_after

SMALL = {"warmup_steps": 1, "learning_rate": 3e-3, "batch_size": 8, "length": 16}
RELATIONS = {
    "name": "relations-of-a-full-layer",
    "family": "MHA",
    "objective": [
        {"term": "relations", "heads": 2, "rope": "after", "teacher_layer": {"from_end": 1, "type": "full"}}
    ],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("modernbert"), "modernbert")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_a_spec_runs_from_plan_to_ranking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    spec = write_spec(
        tmp_path,
        "modernbert",
        grid={
            "method": ["scratch", "od", RELATIONS],
            "student": [{"name": "2l-16", "layers": 2, "width": 16, "heads": 2, "ffn": 32}],
        },
        prepare={"steps": 4, **SMALL},
        distil={"steps": 4, **SMALL},
        finetune={"learning_rate": 3e-3, "epochs": 1, "length": 24, "select_on": "dev", "train_rows": 64},
        analyse={"enabled": True, "relation_heads": 4},
    )
    runs = tmp_path / "runs"
    assert run("run", str(spec), "--backend", "local", "--runs-dir", str(runs)) == 0
    recorded = [(one.read_trial(), one.read_result()) for one in trial_folders(runs)]
    assert {(result.status, result.error) for _, result in recorded if result} == {("ok", None)}
    assert {trial.kind for trial, _ in recorded if trial} == {
        "prepare",
        "distil",
        "finetune",
        "analyse",
        "measure",
    }
    capsys.readouterr()
    assert run("report", "--json", "--runs-dir", str(runs)) == 0
    shown = capsys.readouterr().out
    assert {"od", "relations-of-a-full-layer", "scratch"} <= {
        row["method"] for ranking in json.loads(shown).values() for row in ranking["rows"]
    }


def test_a_student_loads_with_plain_classes(world: World) -> None:
    place = world.site("plain")
    trials = [distil_trial(world, name, steps=2) for name in ("od", "hs-uniform")]
    with_head, without = (
        TrialFolder.of(place.runs_dir, one.trial_id).model for one in run_trials(trials, place)
    )
    ids = torch.tensor([[2, 7, 8, 3]])
    masked = AutoModelForMaskedLM.from_pretrained(with_head)
    assert masked(ids).logits.shape == (1, 4, masked.config.vocab_size)
    assert AutoModel.from_pretrained(without)(ids).last_hidden_state.shape == (1, 4, 16)
    assert AutoModel.from_pretrained(without).config.layer_types == ["sliding_attention", "full_attention"]
    assert "decoder.weight" not in load_file(with_head / "model.safetensors")  # tied: saved once


def test_cohorts_and_interruptions_change_no_bit(world: World, tmp_path: Path) -> None:
    names = [method("od"), with_heads("minilmv2", 8), method("hs-emd")]
    trials = [distil_trial(world, one) for one in names]
    alone = [run_trials([one], world.site("alone"))[0] for one in trials]
    together = run_trials(trials, world.site("together"))
    assert [weights(one) for one in together] == [weights(one) for one in alone]
    for trial, whole in zip(trials, alone, strict=True):
        with pytest.raises(TrialError, match="goes on"):
            run_trials([trial], world.site(str(tmp_path), stop=stop_after(6)))
        [resumed] = run_trials([trial], world.site(str(tmp_path)))
        assert (weights(resumed), resumed.resumed) == (weights(whole), 1)


def test_relations_leave_the_rest_of_the_layer_and_the_final_norm_untrained(world: World) -> None:
    [result] = run_trials(
        [distil_trial(world, with_heads("minilmv2", 8), student=TINY_STUDENT)], world.site("rest")
    )
    assert result.facts["untrained"] == [
        "layers.1.attn.Wo",
        "layers.1.mlp_norm",
        "layers.1.mlp",
        "final_norm",
    ]
