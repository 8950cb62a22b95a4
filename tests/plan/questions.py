"""One rich spec, and ways to edit it: what the tests of identity ask of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.assets.asset import Asset, LocalSource
from harness.base import digest
from harness.plan import Plan, build_plan
from harness.spec.resolve import load_spec

SHA = "ab" * 32

SPEC = f"""
schema: 1
name: rich
teacher:
  name: tiny
  asset: {{sources: [{{path: teacher}}], include: [config.json, "*.safetensors"], sha256: {SHA}}}
  shape: {{model_type: bert, layers: 4, width: 64, heads: 4, ffn: 256, vocabulary: 1000, mlm_head: true}}
corpus:
  name: text
  texts:
    - {{language: de, asset: {{sources: [{{path: german}}]}}}}
    - {{language: en, asset: {{sources: [{{path: english}}]}}, files: "a*"}}
    - {{language: en, asset: {{sources: [{{path: english}}]}}, files: "b*"}}
  exclude:
    - name: other
      suite: S
      assets: {{data: {{sources: [{{path: other}}]}}}}
      splits: {{train: {{files: train.jsonl}}, dev: {{files: dev.jsonl}}}}
      columns: {{text: a, label: y}}
      format: jsonl
      labels: {{b: 0, a: 1}}
      metrics: [accuracy]
      report: dev
    - name: another
      suite: S
      type: retrieval
      assets: {{data: {{sources: [{{path: another}}]}}}}
      splits: {{test: {{files: "{{language}}.jsonl"}}}}
      columns: {{text: a}}
      format: jsonl
      metrics: ["accuracy@1"]
      languages: [en, de]
grid:
  method:
    - {{name: none, family: control}}
    - {{name: od, family: OD, objective: [{{term: logits, weight: 1, temperature: 2}}, {{term: mlm}}]}}
    - name: rel
      family: MHA
      objective: [{{term: relations, heads: 8, pairs: [qq, vv], weights: [0.25, 0.75], teacher_layer: last}}]
    - {{name: hs, family: HS, objective: [{{term: hidden_states, mapping: uniform, pair_weights: [1, 1]}}]}}
  student:
    - {{name: s2, layers: 2, width: 32, heads: 4}}
  language: [[en, de]]
  seed: [1, 2]
prepare: {{steps: 5, warmup_steps: 1}}
distil: {{steps: 10, warmup_steps: 1, learning_rate: 1e-3}}
tasks:
  - task:
      name: pairs
      suite: S
      assets: {{data: {{sources: [{{path: task}}], include: [train.jsonl, dev.jsonl, test.jsonl]}}}}
      splits: {{train: {{files: train.jsonl}}, dev: {{files: "dev-{{language}}"}}, test: {{files: "test-{{language}}"}}}}
      columns: {{text: a, label: y}}
      format: jsonl
      labels: {{"no": 0, "maybe": {{at_least: 3}}, "yes": 1}}
      drop_labels: [-1, 7]
      metrics: [f1, accuracy]
      languages: [en, de, fr]
    finetune: {{select_on: dev_en}}
  - task:
      name: closeness
      suite: S
      type: regression
      assets: {{data: {{sources: [{{path: numbers}}]}}}}
      splits: {{train: {{files: train.jsonl}}, dev: {{files: dev.jsonl}}}}
      columns: {{text: a, label: y}}
      format: jsonl
      metrics: [pearson]
      report: dev
finetune: {{learning_rate: [1e-5, 2e-5], epochs: [1, 2], seeds: [0, 1], halving: {{factor: 2}}}}
models:
  - {{name: outside, asset: {{sources: [{{path: outside}}]}}}}
measure: {{batch_sizes: [1, 8]}}
"""

Tree = Any
Edit = Callable[[Tree], None]
LAST_TERM = "grid/method/2/objective/0"


def content(asset: Asset) -> str:
    """Of the one folder that a test asset names, however much else its file says."""
    (source,) = asset.sources[:1]
    assert isinstance(source, LocalSource)
    return digest(Path(source.path).name, 64)


def written(folder: Path, tree: Tree, text: str | None = None) -> Plan:
    folder.mkdir(exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(text if text is not None else yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    return build_plan(load_spec(path), content, "this machine")


def tree() -> Tree:
    return yaml.safe_load(SPEC.replace("1e-3", "0.001").replace("1e-5", "0.00001").replace("2e-5", "0.00002"))


def edited(folder: Path, edit: Edit) -> Plan:
    changed = tree()
    edit(changed)
    return written(folder, changed)


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


def task(spec: Tree, index: int = 0) -> Tree:
    return spec["tasks"][index]["task"]


def mappings(node: Any, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield above, node
        for key, value in node.items():
            yield from mappings(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from mappings(item, above)


def reverse(*names: str) -> Edit:
    def edit(spec: Tree) -> None:
        lists = [node[name] for _, node in mappings(spec) for name in names if name in node]
        turned = [one for one in lists if isinstance(one, list) and len(one) > 1]
        assert turned
        for one in turned:
            one.reverse()

    return edit


def put(path: str, value: Any) -> Edit:
    def edit(spec: Tree) -> None:
        *above, last = path.split("/")
        node = spec
        for step in above:
            node = node[int(step) if isinstance(node, list) else step]
        node[int(last) if isinstance(node, list) else last] = value

    return edit
