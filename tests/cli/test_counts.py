"""`validate` counts the trials that `plan` shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.cli import main
from harness.spec.catalog import shipped_specs
from tests.spec.writing import write_spec

SPECS = shipped_specs()
SHIPPED = sorted(
    path.relative_to(SPECS).as_posix()
    for path in (*SPECS.glob("*.yaml"), *SPECS.glob("paper/*.yaml"), *SPECS.glob("checks/*.yaml"))
)
SMALL = {
    "as it stands": (),
    "a seed twice": (("seed: [1, 2]", "seed: [1]"),),
    "students that train nothing are the same at any rate": (
        ("  seed: [1, 2]", "  seed: [1, 2]\n  distil.learning_rate: [1e-4, 2e-4]"),
    ),
    "halving": (("epochs: 2}", "epochs: [2, 3], halving: {factor: 2, rungs: 1}}"),),
    "references with a grid of their own": (("epochs: 2}", "epochs: 2, references: {learning_rate: 1e-5}}"),),
    "milestones": (("steps: 10,", "steps: 10, milestones: [5],"),),
    "nothing measured": (("finetune:", "measure: {enabled: false}\nfinetune:"),),
    "an optional task that is not here": (
        ("  - task:\n      name", "  - snli\n  - optional: true\n    task:\n      name"),
    ),
    "default fine-tuning": (("finetune: {learning_rate: [1e-5, 2e-5], epochs: 2}", "finetune: {}"),),
}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard output."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0), capsys.readouterr().out


def counts(capsys: pytest.CaptureFixture[str], spec: Path) -> tuple[int, int]:
    """As `validate` and as `plan` have it."""
    code, said = ran(capsys, "validate", str(spec))
    stated = re.search(r" students?, ([\d,]+) trials?", said)
    assert code == 0
    assert stated is not None, said
    code, planned = ran(capsys, "plan", str(spec), "--json")
    assert code == 0
    return int(stated[1].replace(",", "")), len(json.loads(planned)["trials"])


@pytest.mark.some(3)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_spec(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    validated, planned = counts(capsys, SPECS / name)
    assert validated == planned


@pytest.mark.parametrize("changes", SMALL.values(), ids=SMALL)
def test_a_small_spec(
    changes: tuple[tuple[str, str], ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validated, planned = counts(capsys, write_spec(tmp_path, *changes))
    assert validated == planned


def test_inputs_whose_content_is_not_known_yet_are_counted_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = "{model_type: bert, layers: 4, width: 64, heads: 4, ffn: 256, vocabulary: 1000}"
    models = "models:\n" + "".join(
        f"  - {{name: m{n}, asset: {{sources: [{{hub: some/model{n}}}]}}, shape: {shape}}}\n" for n in (1, 2)
    )
    without, _ = counts(capsys, write_spec(tmp_path))
    validated, _ = counts(capsys, write_spec(tmp_path, ("finetune:", models + "finetune:")))
    assert validated - without == 2 * (2 + 1)  # each with two rates on one task, and measured
