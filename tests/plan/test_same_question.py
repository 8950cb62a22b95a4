"""The same id is the same question: whole specs, respelt."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.plan import Plan
from harness.spec.resolve import load_spec
from tests.plan.questions import (
    LAST_TERM,
    SHA,
    Edit,
    Tree,
    edited,
    ids,
    mappings,
    put,
    reverse,
    task,
    tree,
    written,
)


def rename_everything(spec: Tree) -> None:
    for number, (_, node) in enumerate(mappings(spec)):
        if "name" in node:
            node["name"] = f"renamed-{number}"


def describe_everything(spec: Tree) -> None:
    spec["description"] = "in other words"
    for above, node in mappings(spec):
        if "name" in node and above in (
            "teacher",
            "models",
            "corpus",
            "exclude",
            "method",
            "student",
            "task",
        ):
            node["summary"] = "a summary"
        if above in ("teacher", "models", "exclude", "task", "asset", "data"):
            node["licence"] = "CC0"
        if above in ("exclude", "task") and "splits" in node:
            node["note"], node["rows"] = "a note", {"dev": 7}
        if above == "method":
            node["source"] = "a paper"
        if above == "texts":
            node["domain"] = "news"


def pin_everything(spec: Tree) -> None:
    for _, node in mappings(spec):
        if "sources" in node:
            node["sha256"] = SHA


def move_files(spec: Tree) -> None:
    for _, node in mappings(spec):
        if "path" in node:
            node["path"] = f"elsewhere/{node['path']}"
        if "sources" in node:
            node["sources"].append({"hub": "org/model"})


def reverse_pairs(spec: Tree) -> None:
    term = spec["grid"]["method"][2]["objective"][0]
    term["pairs"].reverse()
    term["weights"].reverse()


def reverse_texts_of_languages(spec: Tree) -> None:
    texts = spec["corpus"]["texts"]
    texts.append(texts.pop(0))


def repeat_layout_in_splits(spec: Tree) -> None:
    for name in ("format", "columns", "labels", "drop_labels"):
        for split in task(spec)["splits"].values():
            split[name] = copy.deepcopy(task(spec)[name])


RESPELT: dict[str, Edit] = {
    "names": rename_everything,
    "prose and licences": describe_everything,
    "pinned content": pin_everything,
    "where bytes come from": move_files,
    "families": put("grid/method/1/family", "composite"),
    "order of grid points": reverse("learning_rate", "epochs", "seeds", "seed", "method", "student"),
    "order of tasks": reverse("tasks", "exclude"),
    "order of languages": reverse("languages", "language"),
    "order of metrics": reverse("metrics"),
    "order of dropped labels": reverse("drop_labels"),
    "order of patterns": reverse("include"),
    "order of batch sizes": reverse("batch_sizes"),
    "order of pairs with their weights": reverse_pairs,
    "order of languages in a corpus": reverse_texts_of_languages,
    "the last layer": put(f"{LAST_TERM}/teacher_layer", {"from_end": 0}),
    "weights of 1": put("grid/method/3/objective/0/pair_weights", None),
    "a mapping's bare name": put("grid/method/3/objective/0/mapping", {"name": "uniform"}),
    "layers of random weights": put("grid/init", [{"from": "random", "layers": "last"}]),
    "a student's own initialisation": put("grid/student/0/init", {"from": "random"}),
    "inner width": put("grid/student/0/ffn", 128),
    "a split's layout": repeat_layout_in_splits,
    "a renamed excluded task": put("corpus/exclude/0/name", "yet-another"),
    "another suite of an excluded task": put("corpus/exclude/0/suite", "T"),
    "metrics of an excluded task": put("corpus/exclude/0/metrics", ["f1"]),
    "label names of an excluded task": put("corpus/exclude/0/labels", {"x": 1, "y": 0}),
    "training split of an excluded task": put("corpus/exclude/0/splits/train/files", "others.jsonl"),
    "every language by name": put("tasks/0/languages", ["fr", "en", "de"]),
    "students that share a pass": put("distil/cohort", "off"),
    "what to do when not finite": put("distil/on_nan", "fp32"),
    "resources": put("resources", {"distil": {"cpus": 2}}),
}


@pytest.mark.parametrize("what", RESPELT)
def test_how_a_question_is_spelt_changes_no_id(what: str, plain: Plan, tmp_path: Path) -> None:
    assert ids(edited(tmp_path, RESPELT[what])) == ids(plain)


def test_the_order_of_keys_changes_no_id_but_that_of_labels(plain: Plan, tmp_path: Path) -> None:
    def turned(node: Any, above: str = "") -> Any:
        if isinstance(node, list):
            return [turned(item) for item in node]
        if not isinstance(node, dict):
            return node
        items = list(node.items()) if above == "labels" else reversed(node.items())
        return {key: turned(value, key) for key, value in items}

    assert ids(written(tmp_path, turned(tree()))) == ids(plain)


@pytest.mark.parametrize("form", ["%r", "%.12f", "%.3e"])
def test_how_a_number_is_written_changes_no_id(form: str, plain: Plan, tmp_path: Path) -> None:
    def marked(node: Any, above: str = "") -> Any:
        if isinstance(node, dict):
            return {key: marked(value, key) for key, value in node.items()}
        if isinstance(node, list):
            return [marked(item, above) for item in node]
        whole = isinstance(node, int) and above in ("weight", "temperature", "pair_weights")
        return f"<{form % node}>" if isinstance(node, float) or whole else node

    text = re.sub(r'"<([^<>"]*)>"', r"\1", json.dumps(marked(tree())))
    assert ids(written(tmp_path, None, text)) == ids(plain)


def test_defaults_written_out_change_no_id(plain: Plan, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(tree(), sort_keys=False))
    whole = load_spec(tmp_path / "spec.yaml").spec.model_dump(mode="json", by_alias=True)
    assert ids(written(tmp_path, whole)) == ids(plain)


def test_an_entry_of_its_own_file_is_the_one_that_stands_inline(plain: Plan, tmp_path: Path) -> None:
    spec = tree()

    def move(node: Any, key: Any, kind: str) -> None:
        entry = node[key]
        file = tmp_path / kind / f"{entry['name']}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump({"schema": 1, **entry}, sort_keys=False))
        node[key] = entry["name"]

    for index in range(len(spec["corpus"]["exclude"])):
        move(spec["corpus"]["exclude"], index, "tasks")
    for axis, kind in (("method", "methods"), ("student", "students")):
        for index in range(len(spec["grid"][axis])):
            move(spec["grid"][axis], index, kind)
    for use in spec["tasks"]:
        move(use, "task", "tasks")
    move(spec, "teacher", "teachers")
    move(spec, "corpus", "corpora")
    move(spec["models"], 0, "teachers")
    assert ids(written(tmp_path, spec)) == ids(plain)


def test_what_is_added_leaves_every_trial_its_id(plain: Plan, tmp_path: Path) -> None:
    added: dict[str, Edit] = {
        "a milestone": put("distil/milestones", [3]),
        "a learning rate under halving": put("finetune/learning_rate", [1e-5, 1.5e-5, 2e-5]),
        "a seed": put("grid/seed", [1, 2, 3]),
    }
    for what, edit in added.items():
        folder = tmp_path / what
        assert ids(plain) < ids(edited(folder, edit)), what
