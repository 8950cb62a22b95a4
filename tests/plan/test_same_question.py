"""The same id is the same question: every field of every model that a trial is made of, edited one by one, and whole
specs, edited and respelt."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from harness.assets.asset import Asset, HubSource, LocalSource, NpmSource, PypiSource, WebSource
from harness.assets.fetch import fetch, identify
from harness.assets.sources import Sources
from harness.base import digest
from harness.methods.layer import FromEnd
from harness.methods.mappings import MAPPINGS
from harness.methods.terms import TERMS
from harness.plan import Plan, build_plan
from harness.records.trial import (
    AnalysedText,
    AnalyseJob,
    DistilJob,
    FinetuneJob,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Rung,
    Trial,
)
from harness.shapes import DeclaredShape
from harness.spec.entries import Between
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Analyse
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return written(tmp_path_factory.mktemp("plain"), tree())


def ids(plan: Plan) -> set[str]:
    return {trial.id for trial in plan.trials}


# --- every field of every model ----------------------------------------------------------------------------------

FIELDS: dict[str, tuple[str, str]] = {
    # model: (fields that are part of the question, fields that are labels)
    "Asset": ("include", "sources sha256 licence"),
    "HubSource": ("hub repo_type revision root", ""),
    "PypiSource": ("pypi sdist sha256 root nested", ""),
    "NpmSource": ("npm sha256 root", ""),
    "WebSource": ("url", ""),
    "LocalSource": ("path", ""),
    "DeclaredShape": ("model_type layers width heads ffn vocabulary mlm_head", ""),
    "Teacher": ("asset format tokenizer trim_vocabulary", "schema_ name summary shape languages licence"),
    "Corpus": (
        "texts alpha held_out tokens_per_language exclude",
        "schema_ name summary streaming floor_characters",
    ),
    "CorpusText": ("language asset files reader field", "domain"),
    "Task": (
        "suite type assets splits columns format header encoding labels drop_labels metrics languages "
        "train_languages report",
        "schema_ name summary rows note licence",
    ),
    "Split": ("files asset hash_range format columns labels drop_labels", ""),
    "Columns": ("text text_pair label id", ""),
    "Between": ("at_least at_most", ""),
    "Student": ("layers width heads ffn", "schema_ name summary init"),
    "Method": ("objective", "schema_ name summary family source init"),
    "Initialisation": ("source layers checkpoint", ""),
    "Prepare": (
        "steps learning_rate warmup_steps weight_decay betas epsilon clip_norm batch_size length "
        "mlm_probability train precision dropout seed",
        "on_nan",
    ),
    "Distil": (
        "steps learning_rate warmup_steps weight_decay betas epsilon clip_norm batch_size length "
        "mlm_probability input precision dropout",
        "on_nan milestones cohort",
    ),
    "FinetuneRecipe": (
        "learning_rate epochs batch_size length warmup_ratio weight_decay betas epsilon clip_norm dropout "
        "precision train_rows patience select_on eval_rows dev_rows",
        "on_nan",
    ),
    "Measure": ("batch_sizes length repeats warmup threads precision", "enabled"),
    "Rung": ("share", "below own keep"),
    "ModelSource": ("teacher trial milestone", ""),
    "PrepareJob": ("kind teacher corpus recipe", ""),
    "DistilJob": ("kind teacher method student init corpus recipe seed", ""),
    "FinetuneJob": ("kind model task languages recipe seed rung", ""),
    "AnalysedText": ("batch_size length mlm_probability input", ""),
    "Analyse": ("blocks relation_heads", "enabled seeds"),
    "AnalyseJob": ("kind student teacher corpus text objectives recipe", ""),
    "MeasureJob": ("kind teacher student protocol fingerprint", ""),
    "FromEnd": ("from_end", ""),
    "Logits": ("term weight temperature positions scale_t2", ""),
    "Mlm": ("term weight", ""),
    "Embeddings": ("term weight projection bias", ""),
    "HiddenStates": ("term weight mapping projection bias reduce pair_weights tokens normalize", ""),
    "Cosine": ("term weight mapping projection bias reduce pair_weights", ""),
    "AttentionProbs": ("term weight mapping reduce teacher_layer student_layer", ""),
    "AttentionScores": ("term weight mapping reduce", ""),
    "Qkv": ("term weight teacher_layer student_layer heads", ""),
    "Relations": ("term weight teacher_layer student_layer pairs weights heads", ""),
    "Emd": ("name every", ""),
    "Greedy": ("name every", ""),
    "Random": ("name every", ""),
    "Attention": ("name", ""),
    "Last": ("name", ""),
    "LastK": ("name exclude_last", ""),
    "Uniform": ("name exclude_last include_embeddings", ""),
    "UniformConsecutive": ("name variant", "allow_empty"),
    "UniformLast": ("name variant", ""),
    "Reverse": ("name", ""),
}
"""What an edit of each field must do to the hash of its model. A field or a model that is not here fails the test."""

OTHERWISE: dict[str, Any] = {
    "Task.type": "retrieval",
    "Task.report": "dev",
    "AnalyseJob.objectives": (),
    "Relations.pairs": ("qq", "kk", "vk"),
    "Relations.weights": (0.5, 0.25, 0.25),
    "HiddenStates.pair_weights": (1.0, 2.0),
    "Cosine.pair_weights": (1.0, 2.0),
    "Initialisation.source": "random",
    "Initialisation.layers": "first",
    "Split.labels": {"no": 5},
}
"""Another value, where one made up from the type would mean nothing."""


def models_of(jobs: tuple[type[BaseModel], ...]) -> set[type[BaseModel]]:
    """These models, and all that their fields may hold; terms and mappings by their registries."""
    found: set[type[BaseModel]] = set()

    def types(annotation: Any) -> Iterator[Any]:
        yield annotation
        for part in get_args(annotation):
            yield from types(part)

    def walk(model: type[BaseModel]) -> None:
        if model in found:
            return
        found.add(model)
        for field in model.model_fields.values():
            for one in types(field.annotation):
                if isinstance(one, type) and issubclass(one, BaseModel):
                    walk(one)

    for model in (*jobs, *TERMS.values(), *MAPPINGS.values()):
        walk(model)
    return {model for model in found if model.__module__.startswith("harness.")} - {_base("MappingParams")}


def _base(name: str) -> type[BaseModel]:
    import harness.methods.mappings.mapping as mapping

    found: type[BaseModel] = getattr(mapping, name)
    return found


JOBS = (PrepareJob, DistilJob, FinetuneJob, AnalyseJob, MeasureJob)
MODELS = sorted(models_of(JOBS), key=lambda model: model.__name__)
EVERY_FIELD = [(model, name) for model in MODELS for name in model.model_fields]


@pytest.fixture(scope="module")
def samples(plain: Plan) -> dict[str, BaseModel]:
    """One instance of every model."""
    found: dict[str, BaseModel] = {}

    def take(value: Any) -> None:
        if isinstance(value, BaseModel):
            found.setdefault(type(value).__name__, value)
            for name in type(value).model_fields:
                take(getattr(value, name))
        elif isinstance(value, (tuple, list)):
            for item in value:
                take(item)
        elif isinstance(value, dict):
            for item in value.values():
                take(item)

    for made in (
        Initialisation(source="teacher"),
        Between(at_least=1, at_most=2),
        FromEnd(from_end=1),
        Rung(share=0.25),
        HubSource(hub="a/b"),
        PypiSource(pypi="a==1", sha256=SHA),
        NpmSource(npm="a@1", sha256=SHA),
        WebSource(url="https://example.org/a"),
        DeclaredShape(model_type="bert", layers=1, width=8, heads=1, ffn=8, vocabulary=9),
        *(term() for term in TERMS.values()),
        *(mapping() for mapping in MAPPINGS.values()),  # type: ignore[call-arg]
    ):
        take(made)
    for trial in plain.trials:
        take(trial.job)
    distilled = plain.of_kind("distil")[0]
    assert isinstance(distilled.job, DistilJob)
    take(
        AnalyseJob(
            student=ModelSource(trial=distilled.id),
            teacher=distilled.job.teacher,
            corpus=distilled.job.corpus,
            text=AnalysedText(),
            objectives=(distilled.job.method,),
            recipe=Analyse(),
        )
    )
    found["FinetuneJob"] = next(t.job for t in plain.of_kind("finetune") if t.rung and t.rung.is_last)
    found["Task"] = next(one for one in plain.tasks if len(one.splits) == 3)
    return found


def another(annotation: Any, value: Any, samples: dict[str, BaseModel]) -> Any:
    """A value of the same kind that is not `value`."""
    choices = [one for one in get_args(annotation) if isinstance(one, (str, int)) and one != value]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return choices[0] if choices else f"{value}x"
        case dict():
            return dict(list(value.items())[:-1]) or {"zz": 1}
        case tuple() if len(value) > 1:
            return value[:-1]
        case tuple():
            return (*value, "x") if not value or isinstance(value[0], str) else (*value, *value)
        case None:
            named = re.findall(r"(\w+)(?=[ |\]'>])", str(annotation))
            model = next((samples[name] for name in named if name in samples), None)
            return model if model is not None else "x"
        case BaseModel():
            name = next(field for field in FIELDS[type(value).__name__][0].split())
            return value.model_copy(update={name: another(None, getattr(value, name), samples)})
    raise AssertionError(f"no other value for {value!r}")


def test_the_table_names_every_field_of_every_model_and_no_other() -> None:
    assert {
        name: set(" ".join(FIELDS.get(name, ("", ""))).split()) for name in (m.__name__ for m in MODELS)
    } == {model.__name__: set(model.model_fields) for model in MODELS}
    assert set(FIELDS) == {model.__name__ for model in MODELS}


@pytest.mark.parametrize(("model", "name"), EVERY_FIELD, ids=lambda one: getattr(one, "__name__", one))
def test_an_edit_of_a_field_changes_the_hash_where_it_is_part_of_the_question(
    model: type[BaseModel], name: str, samples: dict[str, BaseModel]
) -> None:
    before = samples[model.__name__]
    value = getattr(before, name)
    key = f"{model.__name__}.{name}"
    other = (
        OTHERWISE[key] if key in OTHERWISE else another(model.model_fields[name].annotation, value, samples)
    )
    if key == "FinetuneJob.rung":
        other = Rung(share=0.5)
    assert other != value
    after = before.model_copy(update={name: other})
    asked, _ = FIELDS[model.__name__]
    assert (digest(before) != digest(after)) == (name in asked.split())


def test_a_mark_on_a_member_of_a_union_is_lost_and_so_never_stands_there() -> None:
    lost = [
        f"{model.__name__}.{name}"
        for model, name in EVERY_FIELD
        if "Label" in str(model.model_fields[name].annotation)
    ]
    assert lost == []


# --- whole specs, respelt ----------------------------------------------------------------------------------------


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


def reverse(*names: str) -> Edit:
    def edit(spec: Tree) -> None:
        lists = [node[name] for _, node in mappings(spec) for name in names if name in node]
        turned = [one for one in lists if isinstance(one, list) and len(one) > 1]
        assert turned
        for one in turned:
            one.reverse()

    return edit


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


def put(path: str, value: Any) -> Edit:
    def edit(spec: Tree) -> None:
        *above, last = path.split("/")
        node = spec
        for step in above:
            node = node[int(step) if isinstance(node, list) else step]
        node[int(last) if isinstance(node, list) else last] = value

    return edit


LAST_TERM = "grid/method/2/objective/0"
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


# --- whole specs, edited -----------------------------------------------------------------------------------------

Which = Callable[[Trial], bool]


def descends(plan: Plan, which: Which) -> set[str]:
    """The trials that `which` names and all that read their models."""
    found: set[str] = set()
    for trial in plan.trials:
        if which(trial) or found & set(trial.makers):
            found.add(trial.id)
    return found


def of_task(name: str) -> Which:
    return lambda trial: trial.labels.get("task") == name


def of_method(name: str) -> Which:
    return lambda trial: trial.kind == "distil" and trial.labels["method"] == name


def of_kind(*kinds: str) -> Which:
    return lambda trial: trial.kind in kinds


def trained(trial: Trial) -> bool:
    return trial.kind == "distil" and trial.labels["method"] != "none"


def all_of_teacher(trial: Trial) -> bool:
    return trial.labels.get("teacher") == "tiny"


def reverse_labels(spec: Tree) -> None:
    task(spec)["labels"] = dict(reversed(task(spec)["labels"].items()))


ASKED: dict[str, tuple[Edit, Which]] = {
    "the reported split": (put("tasks/0/task/report", "dev"), of_task("pairs")),
    "the order of labels": (reverse_labels, of_task("pairs")),
    "what a label is in the data": (put("tasks/0/task/labels/maybe", 3), of_task("pairs")),
    "the files of a split": (put("tasks/0/task/splits/dev/files", "other-{language}"), of_task("pairs")),
    "the data of a task": (put("tasks/1/task/assets/data/sources", [{"path": "x"}]), of_task("closeness")),
    "a metric": (put("tasks/1/task/metrics", ["spearman"]), of_task("closeness")),
    "a setting of one task": (put("tasks/1/finetune", {"length": 64}), of_task("closeness")),
    "a setting of all tasks": (put("finetune/batch_size", 8), of_kind("finetune")),
    "the order of terms": (lambda spec: spec["grid"]["method"][1]["objective"].reverse(), of_method("od")),
    "a weight of a term": (put("grid/method/1/objective/0/weight", 2), of_method("od")),
    "weights of the wrong pairs": (put(f"{LAST_TERM}/weights", [0.75, 0.25]), of_method("rel")),
    "a layer": (put(f"{LAST_TERM}/teacher_layer", {"from_end": 1}), of_method("rel")),
    "a weight of a pair of layers": (put("grid/method/3/objective/0/pair_weights", [1, 2]), of_method("hs")),
    "layers that start at random": (
        put("grid/init", [{"from": "teacher", "layers": "random"}]),
        lambda trial: trial.kind == "distil",
    ),
    "where weights start": (
        put("grid/method/3/init", {"from": "random", "checkpoint": None}),
        lambda t: False,
    ),
    "a setting of distillation": (put("distil/learning_rate", 2e-3), trained),
    "the declared precision": (put("distil/precision", "fp32"), trained),
    "a setting of preparation": (put("prepare/steps", 6), of_kind("prepare")),
    "the text": (put("corpus/texts/0/asset/sources", [{"path": "x"}]), of_kind("prepare", "distil")),
    "files of the text": (put("corpus/texts/1/files", "c*"), of_kind("prepare", "distil")),
    "sentences that are taken out": (
        put("corpus/exclude/0/splits/dev/files", "x.jsonl"),
        of_kind("prepare", "distil"),
    ),
    "rows that are taken out": (
        put("corpus/exclude/0/labels", {"b": 0, "a": 2}),
        of_kind("prepare", "distil"),
    ),
    "the teacher": (put("teacher/asset/sources", [{"path": "x"}]), all_of_teacher),
    "an external model": (
        put("models/0/asset/sources", [{"path": "x"}]),
        lambda trial: trial.labels.get("teacher") == "outside",
    ),
    "how latency is taken": (put("measure/repeats", 30), of_kind("measure")),
}


@pytest.mark.parametrize("what", ASKED)
def test_another_question_changes_the_ids_of_its_trials_and_what_reads_their_models_and_no_other(
    what: str, plain: Plan, tmp_path: Path
) -> None:
    edit, which = ASKED[what]
    assert ids(plain) - ids(edited(tmp_path, edit)) == descends(plain, which)


# --- content of files --------------------------------------------------------------------------------------------


def test_a_copy_of_the_files_is_the_same_content_pinned_or_not(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "cache", offline=True)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    one, two = (Asset(sources=(LocalSource(path=str(tmp_path / name)),)) for name in ("one", "two"))
    pinned = one.model_copy(update={"sha256": fetch(one, sources).sha256})
    assert identify(one, sources) == identify(two, sources) == identify(pinned, sources)
