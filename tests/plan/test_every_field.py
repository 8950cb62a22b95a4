"""The same id is the same question: every field of every model that a trial is made of, edited one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from harness.assets.asset import HubSource, NpmSource, PypiSource, WebSource
from harness.base import digest
from harness.methods.layer import FromEnd
from harness.methods.mappings import MAPPINGS
from harness.methods.terms import TERMS
from harness.plan import Plan
from harness.records.trial import (
    AnalysedText,
    AnalyseJob,
    DistilJob,
    FinetuneJob,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Rung,
)
from harness.shapes import DeclaredShape
from harness.spec.entries import Between
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Analyse
from tests.plan.questions import SHA

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
    "Start": ("version teacher student init seed content", ""),
    "PrepareJob": ("kind teacher corpus recipe", ""),
    "DistilJob": ("kind teacher method student init corpus recipe seed", ""),
    "FinetuneJob": ("kind model task languages recipe seed rung", ""),
    "AnalysedText": ("batch_size length mlm_probability input", ""),
    "Analyse": ("blocks relation_heads", "enabled seeds"),
    "AnalyseJob": ("kind student teacher corpus text objectives recipe", ""),
    "MeasureJob": ("kind teacher student protocol fingerprint", ""),
    "FromEnd": ("from_end type", ""),
    "Logits": ("term weight temperature positions scale_t2", ""),
    "Mlm": ("term weight", ""),
    "Embeddings": ("term weight projection bias", ""),
    "HiddenStates": ("term weight mapping projection bias reduce pair_weights tokens normalize", ""),
    "Cosine": ("term weight mapping projection bias reduce pair_weights", ""),
    "AttentionProbs": ("term weight mapping reduce teacher_layer student_layer", ""),
    "AttentionScores": ("term weight mapping reduce", ""),
    "Qkv": ("term weight teacher_layer student_layer heads", ""),
    "Relations": ("term weight teacher_layer student_layer pairs weights heads rope window", ""),
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
