"""What the catalog holds: one YAML file declares one method, student, teacher, corpus or task, found by its
name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, Discriminator, Field, field_validator, model_validator

from harness.assets.asset import Asset, WebSource
from harness.base import Frozen, Label, Licence, Ordered, Problem, Text, Unordered
from harness.kinds import KINDS, TaskKind
from harness.kinds.metrics import METRICS
from harness.methods.mappings.mapping import MAPPINGS
from harness.methods.terms import TERMS, TermParams
from harness.registry import did_you_mean
from harness.shapes import DeclaredShape, Shape
from harness.spec.initialisation import Initialisation
from harness.spec.normal_forms import hashed_corpus, hashed_task

if TYPE_CHECKING:
    TermUse = TermParams
else:
    KINDS.load_entry_points("harness.kinds")
    MAPPINGS.load_entry_points("harness.mappings")
    TERMS.load_entry_points("harness.terms")
    TermUse = Annotated[Union[tuple(TERMS.values())], Discriminator("term")]  # noqa: UP007 (made at run time)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,79}$"), Label()]
Family = Literal["OD", "HS", "MHA", "composite", "control"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]+)?$")]


class CatalogEntry(Frozen):
    """Base of every catalog file."""

    schema_: Annotated[Literal[1], Label()] = Field(default=1, alias="schema")
    """Version of the file format."""
    name: Name
    """What specs call it; the file is `NAME.yaml`."""
    summary: Text = ""
    """One line for tables."""


class Method(CatalogEntry):
    """A transfer method: a weighted sum of terms."""

    family: Annotated[Family, Label()]
    """What kind of knowledge is transferred: output distribution (OD), hidden states (HS), attention
    (MHA)."""
    source: Text = ""
    """Paper and equation."""
    objective: tuple[TermUse, ...] = ()
    """The terms; empty for controls that are not distilled."""
    init: Annotated[Initialisation | None, Label(since=2)] = None
    """Initialisation that belongs to the published method; overrides the spec's. A trial states the one it takes."""

    @property
    def trains_mlm_head(self) -> bool:
        """Whether a student of this method has a masked-LM head worth exporting."""
        return any(term.trains_mlm_head for term in self.objective)

    @property
    def needs_mlm_head(self) -> bool:
        """Whether the teacher's masked-LM head is read."""
        return any(term.needs_mlm_head for term in self.objective)

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Why this method cannot serve these shapes."""
        for index, term in enumerate(self.objective):
            for problem in term.problems(teacher, student):
                yield Problem(("objective", index, *problem.field), problem.message)
        if self.needs_mlm_head and not teacher.mlm_head:
            yield Problem(
                ("objective",),
                "the teacher has no trained masked-LM head to transfer from; add `prepare:` to the spec "
                "or choose a teacher with one",
            )


class Student(CatalogEntry):
    """A student's shape. Family, tokenizer, vocabulary and positions come from its teacher."""

    layers: int = Field(ge=1, le=200)
    width: int = Field(ge=8, le=65_536)
    heads: int = Field(ge=1, le=1024)
    ffn: int | None = Field(default=None, ge=8, le=262_144)
    """Inner width of the feed-forward block; null for 4 × width."""
    init: Annotated[Initialisation | None, Label(since=2)] = None
    """Pins where the weights start; null for the spec's. A trial states the one it takes."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Student:
        if self.width % self.heads:
            near = [n for n in range(1, self.width + 1) if self.width % n == 0]
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width}): one of {near}")
        return self

    def shape(self, teacher: Shape) -> Shape:
        """This student as the given teacher's family would build it."""
        return Shape(
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            ffn=self.ffn or 4 * self.width,
            vocabulary=teacher.vocabulary,
            model_type=teacher.model_type,
            mlm_head=False,
        )


class Teacher(CatalogEntry):
    """A trained encoder: it teaches, and it is evaluated as a row of its own. `models:` of a spec are
    declared likewise."""

    asset: Asset
    """Checkpoint in transformers' layout (config.json, *.safetensors, tokenizer files)."""
    format: Literal["transformers", "e5-q4"] = "transformers"
    """`e5-q4`: multilingual-e5-small as 4-bit blocks, de-quantised on loading."""
    tokenizer: Asset | None = None
    """Tokenizer files, where they are not beside the weights."""
    shape: Annotated[DeclaredShape | None, Label()] = None
    languages: Annotated[tuple[Language, ...], Label()] = ()
    """Languages it was trained on, where known."""
    trim_vocabulary: str | Corpus | None = None
    """Keep only the pieces that this corpus (or the spec's, for `corpus`) uses: a new teacher, named so."""
    licence: Licence = None


STREAMED = ("lines", "paragraphs", "jsonl", "parquet")
"""Readers that can begin before a file has come in whole."""
READERS = (*STREAMED, "brown", "gettext", "messages", "udhr")
"""Those that come with the harness (`harness.formats.documents`)."""


class CorpusText(Frozen):
    """Text of one language from one asset."""

    language: Language
    asset: Asset
    files: str = "*"
    """Glob of this text's files below the asset."""
    reader: str = "lines"
    """How text is read: lines, paragraphs, brown, jsonl, parquet, gettext, messages, udhr; or by a reader that a
    package offers (`harness.readers`)."""
    field: str = "text"
    """Column of jsonl and parquet."""
    domain: Text = ""
    """What kind of text it is; named where a task shares it."""

    @field_validator("reader")
    @classmethod
    def _known_reader(cls, name: str) -> str:
        if name not in READERS:
            offered = [point.name for point in entry_points(group="harness.readers")]
            if name not in offered:
                raise ValueError(f"unknown reader {name!r}; {did_you_mean(name, [*READERS, *offered])}")
        return name


class Corpus(CatalogEntry):
    """Text that students are distilled on. It never holds a sentence of an evaluation split."""

    texts: tuple[CorpusText, ...] = Field(min_length=1)
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Exponent of language sampling, p ∝ n^α over tokens (XLM-R: 0.3)."""
    held_out: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Share of documents, by hash of their text, kept for measuring masked-LM accuracy."""
    tokens_per_language: int | None = Field(default=None, ge=1)
    """Budget; null for all."""
    streaming: Annotated[bool, Label()] = False
    """Read files of the hub and the web where they are, one after the other and no further than the budget goes,
    instead of fetching them whole first. The same text in the same order either way."""
    floor_characters: Annotated[int, Label(), Field(ge=0)] = 100_000
    """Languages with less text than this are marked thin."""
    exclude: tuple[str | Task, ...] = ()
    """Tasks whose dev and test sentences are removed from the text (part of what the corpus *is*; a spec
    whose tasks still overlap with its corpus is refused)."""

    @model_validator(mode="after")
    def _can_be_streamed(self) -> Corpus:
        for text in self.texts:
            if self.streaming and text.reader not in STREAMED:
                raise ValueError(
                    f"the reader {text.reader!r} cannot stream; `streaming: true` reads {', '.join(STREAMED)}"
                )
            if not any(isinstance(source, WebSource) for source in text.asset.sources):
                continue
            if not self.streaming:
                raise ValueError("files at a web address are only streamed: say `streaming: true`")
            if text.reader == "parquet" or any(set(name) & set("*?[") for name in text.asset.include):
                raise ValueError(
                    "files at a web address are text or JSON lines (parquet is not read from its beginning), "
                    "and `include` names each exactly (a server lists nothing)"
                )
        return self

    def hashed(self, fields: dict[str, Any]) -> Any:
        """`harness.spec.normal_forms.hashed_corpus`."""
        return hashed_corpus(self, fields)

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO codes in alphabetical order."""
        return tuple(sorted({text.language for text in self.texts}))


class Between(Frozen):
    """A label as an interval of a number, both ends included; rows outside every interval are dropped."""

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_an_end(self) -> Between:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Columns(Frozen):
    """Which columns of the data mean what."""

    text: str
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None
    """Aligns rows across languages (retrieval)."""


Format = Literal["parquet", "jsonl", "csv", "tsv", "udhr"]
"""How a task's files are read; `udhr`: HTML pages of the Declaration of Human Rights, columns id and text."""
LabelValue = Annotated[str | int | Between, Field(union_mode="left_to_right")]


class Split(Frozen):
    """Rows of one split."""

    files: str | dict[Language, str]
    """Glob below the asset, `{language}` standing for the language's code; or one glob a language."""
    asset: str = "data"
    """Which of the task's assets."""
    hash_range: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] | None = None
    """Keep rows whose text hashes into [low, high): how a split is cut from data that has none."""
    format: Format | None = None
    """Where this split's files are not laid out like the task's (it trains on another data set): their
    format,"""
    columns: Columns | None = None
    """their columns,"""
    labels: Annotated[dict[str, LabelValue] | None, Ordered()] = None
    """the values of the same labels in them, in the task's order,"""
    drop_labels: Annotated[tuple[str | int | None, ...] | None, Unordered()] = None
    """and the values that mark rows without a label."""

    @field_validator("hash_range")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"hash_range {list(value)} is empty: low must be below high")
        return value


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"unknown kind of task {name!r}; {did_you_mean(name, list(KINDS))}")
    return name


def _list_kinds(schema: dict[str, Any]) -> None:
    schema["enum"] = list(KINDS)


KindOfTask = Annotated[str, AfterValidator(_known_kind), Field(json_schema_extra=_list_kinds)]


class Task(CatalogEntry):
    """An evaluation task. Labels are mapped by name; scores are the mean of `metrics`."""

    suite: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """GLUE, XNLI, or another group that is averaged together."""
    type: KindOfTask = "classification"
    """Which kind of task it is, of those in `harness.kinds` and of installed packages."""
    assets: dict[str, Asset]
    splits: dict[Literal["train", "dev", "test"], Split]
    columns: Columns
    format: Format = "parquet"
    header: tuple[str, ...] | None = None
    """Column names of csv/tsv files that have none."""
    encoding: str = "utf-8"
    labels: Annotated[dict[str, LabelValue], Ordered()] = {}
    """Label name -> its value in the data. Order is the classifier's output order."""
    drop_labels: Annotated[tuple[str | int | None, ...], Unordered()] = ()
    """Values in the data that mark rows without a label: class names where the data states them, `null` for what is
    missing (null, NaN, empty text)."""
    metrics: Annotated[tuple[str, ...], Unordered(repeats=True)] = Field(min_length=1)
    languages: Annotated[tuple[Language, ...], Unordered()] = ("en",)
    """Languages that can be evaluated; the first is the pivot of a retrieval task without English."""
    train_languages: Annotated[tuple[Language, ...], Unordered()] = ("en",)
    report: Annotated[Literal["test", "dev"], Label()] = "test"
    """The split whose score counts. `dev` where test labels are hidden; disclosed wherever it is shown. Where a task has
    both, another choice is another trial."""
    rows: Annotated[dict[Literal["train", "dev", "test"], Annotated[int, Field(ge=1)]], Label()] = {}
    """Size of each split, a language, as published: what a plan reckons with where the data is not at hand."""
    note: Text = ""
    """What a reader of its score must know (a stand-in, a partial copy)."""
    licence: Licence = None

    def hashed(self, fields: dict[str, Any]) -> Any:
        """`harness.spec.normal_forms.hashed_task`."""
        return hashed_task(self, fields)

    @property
    def kind(self) -> TaskKind:
        """All that is particular to its kind of task."""
        return KINDS[self.type]

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in METRICS:
                raise ValueError(f"unknown metric {name!r}; {did_you_mean(name, list(METRICS))}")
        return names

    @model_validator(mode="after")
    def _is_whole(self) -> Task:
        for problem in self.kind.problems(self):
            raise ValueError(problem)
        if self.report not in self.splits:
            raise ValueError(f"the split {self.report!r} that is reported is not among {sorted(self.splits)}")
        for name, split in self.splits.items():
            if split.asset not in self.assets:
                raise ValueError(
                    f"split {name!r} reads asset {split.asset!r}; this task has {sorted(self.assets)}"
                )
            wanted = self.train_languages if name == "train" else self.languages
            if isinstance(split.files, str) and len(wanted) > 1 and "{language}" not in split.files:
                raise ValueError(
                    f"split {name!r} would read {split.files!r} in each of {', '.join(wanted)}: "
                    "write {language} where the code stands, or one glob a language"
                )
            if split.labels is not None and list(split.labels) != list(self.labels):
                raise ValueError(
                    f"split {name!r} names the labels {list(split.labels)}, the task {list(self.labels)}"
                )
        return self


def entry_kinds() -> dict[str, type[CatalogEntry]]:
    """Folder of the catalog -> what its files hold."""
    return {"methods": Method, "students": Student, "teachers": Teacher, "corpora": Corpus, "tasks": Task}


Teacher.model_rebuild()
Corpus.model_rebuild()
