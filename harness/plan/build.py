"""Expand a spec: prepare → distil → finetune and analyse, and measure, each with the id of the question it answers."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from harness.base import RULE
from harness.errors import SpecError
from harness.plan.finetuning import Evaluation, count_settings, evaluations
from harness.plan.identity import Hasher, Identify
from harness.plan.input_contents import InputContents
from harness.plan.plan import Plan
from harness.plan.rungs import Step
from harness.records.encoder import encoder_of, start_of
from harness.records.trial import (
    KINDS,
    AnalysedText,
    AnalyseJob,
    DistilJob,
    FinetuneJob,
    FinetuneRecipe,
    Kind,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Rung,
    Start,
    Trial,
)
from harness.spec.entries import Corpus, Method, Student, Teacher
from harness.spec.grid import Cell, expand, init_label
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil, Resources
from harness.spec.resolve import LanguageSet, ResolvedSpec, TeacherChoice

UNTRAINED = Distil(steps=0, warmup_steps=0)
"""The recipe of a method without an objective: the spec's training settings do not affect it."""


def build_plan(
    resolved: ResolvedSpec, identify: Identify, fingerprint: str, cells: list[Cell] | None = None
) -> Plan:
    """All trials of `resolved`.

    `identify(asset)` names an asset's content (None: not known yet); `fingerprint` names this
    hardware for the `measure` trials; `cells` are those of `harness.spec.grid.expand`, expanded here when not
    given. SpecError where the plan would hold more trials than the spec allows."""
    cells = expand(resolved) if cells is None else cells
    refuse_too_many(resolved, cells)
    planner = _Planner(resolved, identify, fingerprint)
    objectives = compared_by(cells)
    for cell in cells:
        student, teacher = planner.cell(cell)
        planner.analyse(cell, student, teacher, objectives[shared_shape(cell)])
    planner.models()
    return planner.plan()


def refuse_too_many(resolved: ResolvedSpec, cells: list[Cell]) -> None:
    """SpecError where the students' trials (a question asked twice counts twice) exceed the spec's `max_trials`; counted
    before any is built."""
    each = sum(count_settings(task_use) for task_use in resolved.tasks)
    students = sum(1 + len(cell.recipe.milestones) for cell in cells)
    analysed = len(cells) if resolved.spec.analyse.enabled else 0
    count = len(cells) + students * each + analysed
    limit = resolved.spec.max_trials
    if count > limit:
        where = resolved.mark(("grid",))
        raise SpecError(
            [f"{where}: the spec asks for {count:,} trials; at most {limit:,} are accepted (max_trials)"]
        )


def shared_shape(cell: Cell) -> tuple[str, int, int]:
    """What students have in common that can be measured by each other's objectives: languages, teacher and shape."""
    return cell.language.name, id(cell.teacher), id(cell.student)


def compared_by(cells: list[Cell]) -> dict[tuple[str, int, int], tuple[Method, ...]]:
    """`shared_shape` -> the methods with an objective among its cells, by name."""
    found: dict[tuple[str, int, int], dict[int, Method]] = {}
    for cell in cells:
        methods = found.setdefault(shared_shape(cell), {})
        if cell.method.entry.objective:
            methods[id(cell.method)] = cell.method.entry
    return {key: tuple(sorted(of.values(), key=lambda one: one.name)) for key, of in found.items()}


@dataclass(frozen=True, slots=True)
class _Model:
    """A model as shipped or made by a trial, or what stands for its encoder, with what its evaluations need."""

    source: ModelSource | Start
    parents: tuple[str, ...]
    config_id: str
    labels: dict[str, str]
    data: dict[str, str]
    """Content of a checkpoint as shipped; empty where a trial made the model."""

    @property
    def made(self) -> ModelSource:
        """The source of a model itself."""
        assert isinstance(self.source, ModelSource)
        return self.source

    @property
    def is_student(self) -> bool:
        """Whether it was distilled: neither a teacher, prepared or not, nor an external checkpoint."""
        return "student" in self.labels


class _Planner:
    """Collects trials by kind; a question asked twice is planned once."""

    def __init__(self, resolved: ResolvedSpec, identify: Identify, fingerprint: str) -> None:
        self.resolved = resolved
        self.inputs = InputContents(identify)
        self.fingerprint = fingerprint
        self.hasher = Hasher()
        self.evaluations = evaluations(resolved)
        self.trials: dict[Kind, dict[str, Trial]] = {kind: {} for kind in KINDS}
        self.known: dict[object, _Model] = {}
        self.measured: set[tuple[int, int]] = set()

    def _add(
        self,
        kind: Kind,
        job: PrepareJob | DistilJob | FinetuneJob | AnalyseJob | MeasureJob,
        data: dict[str, str],
        makers: tuple[str, ...],
        config_id: str | None,
        labels: dict[str, str],
        rung_below: tuple[str, ...] = (),
    ) -> str:
        """Plan one trial unless it is planned already; returns its id."""
        identity = self.hasher.trial(kind, job, data, makers)
        planned = self.trials[kind].get(identity)
        control = job if isinstance(job, DistilJob) and not job.method.objective else None
        if planned is None:
            # Not validated again: its parts are valid already, and a plan may hold 100,000 trials.
            self.trials[kind][identity] = Trial.model_construct(
                id=identity,
                id_rule=RULE,
                kind=kind,
                recipe_version=self.hasher.version(kind),
                job=job,
                data=data,
                parents=(*makers, *rung_below),
                config_id=config_id,
                labels=labels,
                resources=Resources() if control else getattr(self.resolved.spec.resources, kind),
                spec=self.resolved.name,
                start=start_of(control, data, self.makers) if control else None,
            )
        elif isinstance(job, DistilJob):
            self.trials[kind][identity] = planned.with_milestones(job.recipe.milestones)
        return identity

    @cached_property
    def makers(self) -> Mapping[str, Trial]:
        """The trials that make models, as they are planned."""
        return ChainMap(self.trials["prepare"], self.trials["distil"])

    def models(self) -> None:
        """External models: evaluated and measured, never distilled."""
        for use in self.resolved.models:
            for language in self.resolved.languages:
                model = self._shipped(use.entry, {"family": "external", "method": "as shipped"})
                self._evaluate(model, language)
            self._measure(use.entry, None)

    def cell(self, cell: Cell) -> tuple[_Model, _Model]:
        """One student with its evaluations, preceded by its teacher; returns both."""
        teacher = self._teacher(cell.teacher, cell.language, cell.corpus)
        student, parents = self._distil(
            teacher, cell.teacher, cell.language, cell.corpus, cell.method.entry, cell.student.entry,
            cell.init.init, cell.recipe, cell.seed,
        )  # fmt: skip
        self._evaluate(student, cell.language)
        recipe = self._recipe(cell.method.entry, cell.recipe)
        for step in recipe.milestones:
            labels = {**student.labels, "milestone": str(step)}
            source = ModelSource(trial=student.made.trial, milestone=step)
            self._evaluate(_Model(source, parents, student.config_id, labels, {}), cell.language)
        self._measure(cell.teacher.root.entry, cell.student.entry)
        return student, teacher

    def analyse(self, cell: Cell, student: _Model, teacher: _Model, objectives: tuple[Method, ...]) -> None:
        """Compare the cell's student with its teacher, where the spec asks for it."""
        recipe = self.resolved.spec.analyse
        if not recipe.enabled or (recipe.seeds is not None and cell.seed not in recipe.seeds):
            return
        job = AnalyseJob(
            student=student.made,
            teacher=teacher.made,
            corpus=cell.corpus,
            text=AnalysedText(**{name: getattr(cell.recipe, name) for name in AnalysedText.model_fields}),
            objectives=objectives,
            recipe=recipe,
        )
        data = self.inputs.of(teacher.made.teacher, cell.corpus, *objectives)
        parents = tuple(dict.fromkeys((*student.parents, *teacher.parents)))
        self._add("analyse", job, data, parents, student.config_id, student.labels)

    def _shipped(self, teacher: Teacher, labels: dict[str, str]) -> _Model:
        key = ("shipped", id(teacher))
        if key not in self.known:
            data = self.inputs.of(teacher)
            config = self.hasher.model(teacher, data)
            name = {"teacher": teacher.name}
            self.known[key] = _Model(ModelSource(teacher=teacher), (), config, {**labels, **name}, data)
        return self.known[key]

    def _teacher(self, choice: TeacherChoice, language: LanguageSet, corpus: Corpus) -> _Model:
        """The model that teaches: as shipped, prepared on the corpus, or an assistant; planned with its evaluations."""
        key = ("teacher", id(choice), language.name)
        if key in self.known:
            return self.known[key]
        root = choice.root.entry
        shipped = self._shipped(root, {"family": "teacher", "method": "as shipped"})
        self._evaluate(shipped, language)
        self._measure(root, None)
        teacher = shipped
        if self.resolved.spec.prepare is not None:
            teacher = self._prepared(root, language, corpus)
        if choice.assistant is not None:
            assistant = choice.assistant
            init = (
                assistant.method.entry.init or assistant.student.entry.init or self.resolved.spec.grid.init[0]
            )
            teacher, _ = self._distil(
                teacher, choice, language, corpus, assistant.method.entry, assistant.student.entry,
                init, self.resolved.spec.distil, assistant.seed, teacher_name=root.name,
            )  # fmt: skip
            self._evaluate(teacher, language)
            self._measure(root, assistant.student.entry)
        self.known[key] = teacher
        return teacher

    def _prepared(self, teacher: Teacher, language: LanguageSet, corpus: Corpus) -> _Model:
        key = ("prepared", id(teacher), id(corpus))
        if key not in self.known:
            recipe = self.resolved.spec.prepare
            assert recipe is not None
            job = PrepareJob(teacher=teacher, corpus=corpus, recipe=recipe)
            data = self.inputs.of(teacher, corpus)
            labels = {
                "family": "teacher",
                "method": "prepared",
                "teacher": teacher.name,
                "language": language.name,
            }
            config = self.hasher.model(self.hasher.trial("prepare", job, data, ()))
            identity = self._add("prepare", job, data, (), config, {**labels, "seed": str(recipe.seed)})
            self.known[key] = model = _Model(ModelSource(trial=identity), (identity,), config, labels, {})
            self._evaluate(model, language)
        return self.known[key]

    def _distil(
        self,
        teacher: _Model,
        choice: TeacherChoice,
        language: LanguageSet,
        corpus: Corpus,
        method: Method,
        student: Student,
        init: Initialisation,
        recipe: Distil,
        seed: int,
        teacher_name: str | None = None,
    ) -> tuple[_Model, tuple[str, ...]]:
        """Plan the distillation of one student; returns the student and its evaluations' parents."""
        job = DistilJob(
            teacher=teacher.made,
            method=method,
            student=student,
            init=init,
            corpus=corpus,
            recipe=self._recipe(method, recipe),
            seed=seed,
        )
        data = self.inputs.of(teacher.made.teacher, corpus, init, method)
        config = self.hasher.config(job, data, teacher.parents)
        labels = {
            "method": method.name,
            "family": method.family,
            "student": student.name,
            "teacher": teacher_name or choice.name,
            "language": language.name,
            "seed": str(seed),
        }
        if len(self.resolved.spec.grid.init) > 1:
            labels["init"] = init_label(init)
        for axis in self.resolved.spec.grid.distil_axes:
            labels[axis if axis != "learning_rate" else "distil_learning_rate"] = (
                f"{getattr(job.recipe, axis)}"
            )
        if self.resolved.spec.select is not None and method.objective:
            labels["select"] = ",".join(self.resolved.spec.select.over)
        identity = self._add("distil", job, data, teacher.parents, config, labels)
        parents = (identity,)
        return _Model(ModelSource(trial=identity), parents, config, labels, {}), parents

    @staticmethod
    def _recipe(method: Method, recipe: Distil) -> Distil:
        return recipe if method.objective else UNTRAINED

    def _evaluate(self, model: _Model, language: LanguageSet) -> None:
        """Every task at every setting; under successive halving rung by rung, each waiting for the whole rung below."""
        model = self._encoder(model)
        for scored in self.evaluations[language.name]:
            evaluation = scored.students if model.is_student else scored.references
            if not evaluation.ladder:
                for recipe in evaluation.settings:
                    self._setting(model, evaluation, recipe, None, "")
            below: tuple[tuple[str, ...], ...] = ()
            for step in evaluation.ladder:
                below = self._rung(model, evaluation, step, below)

    def _encoder(self, model: _Model) -> _Model:
        """What stands for the encoder of a model, so that all models with this encoder are evaluated by the same
        trials."""
        if not model.parents or model.made.milestone is not None:
            return model
        encoder = encoder_of(self.makers[model.parents[0]], self.makers)
        if encoder == model.source:
            return model
        init = encoder.init if isinstance(encoder, Start) else None
        data = self.inputs.of(encoder.shipped, init)
        parts = (encoder.shipped, data) if isinstance(encoder, ModelSource) else (encoder, data)
        return _Model(encoder, encoder.makers, self.hasher.model(*parts), model.labels, data)

    def _rung(
        self, model: _Model, evaluation: Evaluation, step: Step, below: tuple[tuple[str, ...], ...]
    ) -> tuple[tuple[str, ...], ...]:
        rung_below = tuple(trial for setting in below for trial in setting)
        return tuple(
            self._setting(
                model, evaluation, recipe, Rung(share=step.share, below=below, own=own, keep=step.keep),
                step.label, rung_below,
            )
            for own, recipe in enumerate(evaluation.settings)
        )  # fmt: skip

    def _setting(
        self,
        model: _Model,
        evaluation: Evaluation,
        recipe: FinetuneRecipe,
        rung: Rung | None,
        label: str,
        rung_below: tuple[str, ...] = (),
    ) -> tuple[str, ...]:
        """Plan one setting with every seed; returns the trial ids."""
        data = self.inputs.of_task(evaluation.task, model.data)
        labels = {
            **model.labels,
            "suite": evaluation.task.suite,
            "task": evaluation.task.name,
            "learning_rate": f"{recipe.learning_rate:g}",
            "epochs": str(recipe.epochs),
        }
        if label:
            labels["rung"] = label
        trials = []
        for seed in evaluation.seeds:
            job = FinetuneJob.model_construct(
                model=model.source,
                task=evaluation.task,
                languages=evaluation.languages,
                recipe=recipe,
                seed=seed,
                rung=rung,
            )
            seeded = {**labels, "finetune_seed": str(seed)}
            trials.append(
                self._add("finetune", job, data, model.parents, model.config_id, seeded, rung_below)
            )
        return tuple(trials)

    def _measure(self, teacher: Teacher, student: Student | None) -> None:
        protocol = self.resolved.spec.measure
        key = (id(teacher), id(student))
        if not protocol.enabled or key in self.measured:
            return
        self.measured.add(key)
        shape = student.model_copy(update={"init": None}) if student else None
        job = MeasureJob(teacher=teacher, student=shape, protocol=protocol, fingerprint=self.fingerprint)
        labels = {"teacher": teacher.name} | ({"student": student.name} if student else {})
        self._add("measure", job, self.inputs.of(teacher), (), None, labels)

    def plan(self) -> Plan:
        """The collected trials, parents first."""
        trials = tuple(trial for by_id in self.trials.values() for trial in by_id.values())
        return Plan(self.resolved.name, trials, self.inputs.assets, self.inputs.unresolved())
