"""Small specs for tests, written to a folder: everything inline but what a test names."""

from __future__ import annotations

from pathlib import Path

SPEC = """\
schema: 1
name: small
teacher:
  name: tiny
  asset: {sources: [{path: teacher}], sha256: SHA}
  shape: {model_type: bert, layers: 4, width: 64, heads: 4, ffn: 256, vocabulary: 1000, mlm_head: true}
corpus:
  name: text
  texts: [{language: en, asset: {sources: [{path: text}], sha256: SHA}}]
grid:
  method:
    - {name: none, family: control}
    - {name: od, family: OD, objective: [{term: logits}]}
    - {name: rel, family: MHA, objective: [{term: relations, heads: 8}]}
  student:
    - {name: s2, layers: 2, width: 32, heads: 4}
  seed: [1, 2]
distil: {steps: 10, warmup_steps: 1}
tasks:
  - task:
      name: pairs
      suite: S
      assets: {data: {sources: [{path: task}], sha256: SHA}}
      splits: {train: {files: train.jsonl}, dev: {files: dev.jsonl}, test: {files: test.jsonl}}
      columns: {text: a, label: y}
      format: jsonl
      labels: {no: 0, yes: 1}
      metrics: [accuracy]
finetune: {learning_rate: [1e-5, 2e-5], epochs: 2}
"""


def write_spec(folder: Path, *changes: tuple[str, str], name: str = "spec.yaml") -> Path:
    """The small spec with each (old, new) replaced once, which must be there."""
    text = SPEC.replace("SHA", "ab" * 32)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path, text: str) -> int:
    """1-based line on which `text` first stands."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)
