"""What the card of an exported folder says of its ONNX files: how to use them, what was checked, what they score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.files import sha256_of
from harness.kinds import FineTunedKind
from harness.ranking.render import text
from harness.records.trial import FinetuneJob, Trial
from harness.service.graph import OPSET
from harness.service.parity import Parity

ENCODER_USE = """\
import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

folder = "."  # this one
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
session = InferenceSession(f"{folder}/FILE")
read = tokenizer.encode("A sentence.")
given = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
inputs = {one.name: np.array([given[one.name]], dtype=np.int64) for one in session.get_inputs()}
"""
"""Loads a file with nothing but onnxruntime and tokenizers; `FILE` stands for its name."""
ONE, PAIR = '"A sentence."', '"A sentence.", "The second text of the pair."'
STATES_USE = (
    "(states,) = session.run(None, inputs)\nprint(states[0].mean(axis=0))  # the sentence as one vector\n"
)
HEAD_USE = """\
(logits,) = session.run(None, inputs)
print(NAMES[logits[0].argmax()])
"""
TAGS_USE = """\
(logits,) = session.run(None, inputs)
for piece, tag in zip(read.tokens, logits[0].argmax(axis=-1)):  # the tag of a word is that of its first piece
    print(piece, NAMES[tag])
"""
VALUE_USE = "(values,) = session.run(None, inputs)\nprint(values[0])\n"


@dataclass(frozen=True)
class Artefact:
    """One ONNX file and what is known of it."""

    path: Path
    parity: Parity | None = None
    """Of a float32 file."""
    quantised: str = ""
    """Of an int8 file, how."""
    task: str = ""
    split: str = ""
    score: float = float("nan")
    """Of this very file on the reported split of `task`, 0 to 1."""
    in_torch: float = float("nan")
    """Of the same weights in PyTorch."""

    def with_score(self, task: str, split: str, score: float, in_torch: float) -> Artefact:
        """A copy with its score."""
        return replace(self, task=task, split=split, score=score, in_torch=in_torch)


def add_use(card: str, artefacts: Sequence[Artefact], trial: Trial | None) -> str:
    """The card of the student with the ONNX files instead of `from_pretrained` under `Use`. `trial`: the fine-tuning
    whose head they have, None for an encoder alone."""
    before, _heading, rest = card.partition("## Use")
    _old, _mark, after = rest.partition("## ")
    code = ENCODER_USE.replace("FILE", artefacts[-1].path.name) + _ending(trial)
    if trial is not None and isinstance(trial.job, FinetuneJob) and trial.job.task.columns.text_pair:
        code = code.replace(ONE, PAIR)
    return f"{before}## Use\n\n```python\n{code}```\n\n{_table(artefacts)}\n## {after}"


def _ending(trial: Trial | None) -> str:
    if trial is None:
        return STATES_USE
    assert isinstance(trial.job, FinetuneJob)
    kind = trial.job.task.kind
    assert isinstance(kind, FineTunedKind)
    names = kind.outputs(trial.job.task)
    if kind.reads_words:
        return TAGS_USE.replace("NAMES", repr(list(names)))
    one_class = kind.label_dtype == "int64" and len(names) > 1
    return HEAD_USE.replace("NAMES", repr(list(names))) if one_class else VALUE_USE


def _table(artefacts: Sequence[Artefact]) -> str:
    rows = ["| file | MB | checked | score | SHA-256 |", "|---|---:|---|---|---|"]
    for one in artefacts:
        size = f"{one.path.stat().st_size / 1e6:.1f}"
        rows.append(f"| `{one.path.name}` | {size} | {_check(one)} | {_score(one)} | {sha256_of(one.path)} |")
    note = f"\nONNX, operator set {OPSET}; batch and length are free. Scores are of the files themselves, in points."
    return "\n".join([*rows, note, ""])


def _check(artefact: Artefact) -> str:
    if artefact.parity is None:
        return f"int8 weights, {artefact.quantised}; the best of four ways by dev scores"
    shapes = ", ".join(f"{rows} × {tokens}" for rows, tokens in artefact.parity.shapes)
    return f"differs from PyTorch by at most {artefact.parity.largest_difference:.1e} on batches of {shapes} tokens"


def _score(artefact: Artefact) -> str:
    if not artefact.task:
        return "–"
    return f"{artefact.task} {artefact.split} {text.points(artefact.score)} (PyTorch {text.points(artefact.in_torch)})"
