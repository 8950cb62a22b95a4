"""What a trial is, `trial.json` of its folder, and how its id follows from that.

A `Trial` is complete: with its parents' folders and the sources it names, it runs anywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from harness.base import RULE, Added, Frozen, Unordered, digest, identity
from harness.spec.entries import Corpus, Method, Student, Task, Teacher
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import (
    Analyse,
    Distil,
    FinetuneSettings,
    Measure,
    Prepare,
    Rate,
    Resources,
    SelectOn,
    TokenBatches,
)

Kind = Literal["prepare", "distil", "finetune", "analyse", "measure"]
KINDS: tuple[Kind, ...] = ("prepare", "distil", "finetune", "analyse", "measure")

RECIPE_VERSIONS: dict[Kind, int] = {"prepare": 1, "distil": 2, "finetune": 2, "analyse": 1, "measure": 2}
"""Raised when a change of code changes what a number of that kind means."""

START_VERSION = 1
"""Raised, with the version of `distil`, when a change of code changes the weights that a student starts with."""

TrialId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class ModelSource(Frozen):
    """A model by where it comes from: exactly one of a catalog entry or another trial's `model/` folder."""

    teacher: Teacher | None = None
    """A checkpoint as shipped."""
    trial: TrialId | None = None
    """A `prepare` or `distil` trial whose exported model this is."""
    milestone: int | None = None
    """Step of an intermediate student of that trial."""

    @property
    def shipped(self) -> Teacher | None:
        """The checkpoint as shipped that it is built from without any trial."""
        return self.teacher

    @property
    def makers(self) -> tuple[TrialId, ...]:
        """The trial whose exported model is read."""
        return () if self.trial is None else (self.trial,)


class Start(Frozen):
    """A student that nothing trains, by all that its encoder follows from (`harness.records.encoder`)."""

    version: int = START_VERSION
    teacher: ModelSource | Start
    """Gives family, tokenizer and positions, and the weights that are copied."""
    student: Student
    init: Initialisation
    seed: int | None
    """Null where nothing is drawn."""
    content: dict[str, str] = {}
    """Of a teacher as shipped and of an initial checkpoint, as in a trial's `data`."""

    @property
    def shipped(self) -> Teacher | None:
        """As for a `ModelSource`."""
        return self.teacher.shipped

    @property
    def makers(self) -> tuple[TrialId, ...]:
        """As for a `ModelSource`."""
        return self.teacher.makers


class PrepareJob(Frozen):
    """Adapt a teacher to the corpus with masked-LM training."""

    kind: Literal["prepare"] = "prepare"
    teacher: Teacher
    corpus: Corpus
    recipe: Prepare


class DistilJob(Frozen):
    """Make one student by one method from one teacher on one language set with one seed."""

    kind: Literal["distil"] = "distil"
    teacher: ModelSource
    method: Method
    student: Student
    init: Initialisation
    corpus: Corpus
    recipe: Distil
    seed: int

    @property
    def trains(self) -> bool:
        """Whether any step changes the student."""
        return bool(self.method.objective) and self.recipe.steps > 0


class FinetuneRecipe(FinetuneSettings):
    """One point of the fine-tuning grid."""

    learning_rate: Rate
    epochs: int
    """0 where nothing is trained."""
    select_on: SelectOn


class Rung(Frozen):
    """A trial's place in the successive halving of one model's settings on one task."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of the training rows; below 1 the trial only decides which settings go on."""
    below: tuple[tuple[TrialId, ...], ...] = ()
    """The rung below: one group a setting, lower learning rates and fewer epochs first, one trial a seed.
    Empty on the lowest rung."""
    own: int = 0
    """Which of these groups has this trial's setting."""
    keep: int = 1
    """How many of these settings go on."""

    def hashed(self, fields: dict[str, Any]) -> Any:
        """Only the share of the rows: which settings it is compared with decides whether it runs, and no number. On
        the last rung it is the question that is asked without halving."""
        return None if self.is_last else {"share": fields["share"]}

    @property
    def is_last(self) -> bool:
        """Whether the trial trains on all rows, so that its score counts."""
        return self.share == 1


class FinetuneJob(Frozen):
    """Fine-tune one model on one task at one setting and score it on dev and on the reported split."""

    kind: Literal["finetune"] = "finetune"
    model: ModelSource | Start
    """Stands for every model with this encoder."""
    task: Task
    languages: Annotated[tuple[str, ...], Unordered()]
    recipe: FinetuneRecipe
    seed: int
    rung: Annotated[Rung | None, Added()] = None
    """Null: trained in full, whatever other settings do."""

    @property
    def counts(self) -> bool:
        """Whether its score is one of the model's, not only a step in choosing a setting."""
        return self.rung is None or self.rung.is_last


class AnalysedText(TokenBatches):
    """How the held-out text is cut, batched and corrupted: as for distilling the students."""

    input: Literal["masked", "clean"] = "masked"
    """What models read: blocks with some positions corrupted, or the text itself."""


class AnalyseJob(Frozen):
    """Compare one student with its teacher on text that neither was distilled on."""

    kind: Literal["analyse"] = "analyse"
    student: ModelSource
    teacher: ModelSource
    """The model that taught it, or for a control would have."""
    corpus: Corpus
    text: AnalysedText
    objectives: Annotated[tuple[Method, ...], Unordered()]
    """Methods by whose objectives the student is measured: those of its teacher and shape in the grid."""
    recipe: Analyse


class MeasureJob(Frozen):
    """Measure an architecture on this hardware. Latency does not depend on what the weights were trained for, so one
    measurement serves every student of the same shape and teacher family."""

    kind: Literal["measure"] = "measure"
    teacher: Teacher
    student: Student | None = None
    """Null measures the teacher itself."""
    protocol: Measure
    fingerprint: str
    """Hardware and thread fingerprint, `harness.results.provenance.fingerprint()`."""


Job = Annotated[PrepareJob | DistilJob | FinetuneJob | AnalyseJob | MeasureJob, Field(discriminator="kind")]


class Trial(Frozen):
    """One unit of work of a plan."""

    id: TrialId
    """Hash of everything that can change its number: kind, recipe version, job, data identities, makers."""
    id_rule: Annotated[int, Field(ge=1)] = 1
    """Version of the rule that gave the id, `harness.base.RULE`; trials recorded before it was written down have 1."""
    kind: Kind
    recipe_version: int
    job: Job
    data: dict[str, str]
    """Data identity: what was read -> SHA-256 of the content, or `repo@commit`. Keys: `teacher`, `corpus/<language>/<n>`,
    `task/<asset>`, ...; `plugin/<kind>/<name>` -> recipe version, where a plugin states one above 1; `code/<name>` ->
    version of the code that reads (`harness.records.reading`), where it was raised."""
    parents: tuple[TrialId, ...] = ()
    """Trials that must have ended before: those whose exported model this one reads (their ids enter this id), and the
    rung below."""
    config_id: TrialId | None = None
    """The configuration this belongs to: a distil id without its seed. Shared by a student and its evaluations;
    for teachers and external models, a hash of the model's own identity."""
    labels: dict[str, str] = {}
    """Names for people: method, family, student, teacher, language, task, seed, learning_rate, ... Never hashed."""
    resources: Resources = Resources()
    spec: str = ""
    """Name of the spec that planned it first."""
    start: Start | None = None
    """Of a student without a method that trains it: what it is built from. It then waits for those trials alone whose
    weights it copies, whichever teacher its job names. Follows from job and parents, so that no id needs it."""

    @property
    def title(self) -> str:
        """One line for progress and tables: what it is about, then its settings by name, e.g. `finetune od 2l-96 en snli,
        lr 0.0002, 1 epoch, seed 1`."""
        subject = ("method", "student", "language", "teacher", "task")
        named = {"learning_rate": "lr", "seed": "seed", "finetune_seed": "fine-tuning seed", "rung": "rung"}
        epochs = self.labels.get("epochs", "")
        settings = [f"{word} {self.labels[key]}" for key, word in named.items() if self.labels.get(key)]
        if epochs:
            settings.insert("learning_rate" in self.labels, f"{epochs} epoch{'' if epochs == '1' else 's'}")
        parts = [self.kind, *(self.labels[key] for key in subject if self.labels.get(key))]
        return ", ".join([" ".join(parts), *settings])

    @property
    def makers(self) -> tuple[TrialId, ...]:
        """The parents whose exported model it reads."""
        weighed = {trial for setting in self.rung.below for trial in setting} if self.rung else set()
        return tuple(parent for parent in self.parents if parent not in weighed)

    @property
    def is_control(self) -> bool:
        """Whether it makes a student without a method that trains it: no more than its start, the work of a moment."""
        return isinstance(self.job, DistilJob) and not self.job.method.objective

    @property
    def waits_for(self) -> tuple[TrialId, ...]:
        """The trials that must have ended before it begins."""
        return self.parents if self.start is None else self.start.makers

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps at which it exports an intermediate student."""
        return self.job.recipe.milestones if isinstance(self.job, DistilJob) else ()

    @property
    def rung(self) -> Rung | None:
        """Its place in a successive halving."""
        return self.job.rung if isinstance(self.job, FinetuneJob) else None

    def with_milestones(self, steps: tuple[int, ...]) -> Trial:
        """The same distil trial, exporting an intermediate student at these steps too."""
        job = self.job
        if not isinstance(job, DistilJob) or set(steps) <= set(job.recipe.milestones):
            return self
        both = tuple(sorted({*job.recipe.milestones, *steps}))
        recipe = job.recipe.model_copy(update={"milestones": both})
        return self.model_copy(update={"job": job.model_copy(update={"recipe": recipe})})

    def expected_id(self) -> str:
        """The id that follows from what it is, by the rule that gave its own."""
        parents = self.makers if self.id_rule > 1 else self.parents
        return digest([self.kind, self.recipe_version, self.job, self.data, list(parents)], rule=self.id_rule)

    def expected_config_id(self) -> str | None:
        """The configuration that follows from what a distil trial is; None for other kinds."""
        if not isinstance(self.job, DistilJob):
            return None
        return config_id(self.job, self.data, self.parents, self.id_rule)


def config_id(job: DistilJob, data: dict[str, str], makers: tuple[str, ...], rule: int = RULE) -> str:
    """The configuration of a distil job: what its id is made of, but for the seed."""
    without_seed = {name: value for name, value in identity(job, rule).items() if name != "seed"}
    return digest(["config", without_seed, data, list(makers)], rule=rule)


def trial_id(kind: Kind, job: Frozen, data: dict[str, str], makers: tuple[str, ...]) -> str:
    """The id of a trial: 16 hex digits of SHA-256 over what can change its number. `makers`: the trials whose exported
    models it reads."""
    return digest([kind, RECIPE_VERSIONS[kind], job, data, list(makers)], rule=RULE)
