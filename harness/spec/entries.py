"""Entries of the catalog: one YAML file declares one method, student, teacher, corpus or task."""

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
    """What kind of knowledge is transferred: output distribution (OD), hidden states (HS) or attention (MHA);
    `composite` for several kinds, `control` for a student that is not distilled."""
    source: Text = ""
    """Paper and equation."""
    objective: tuple[TermUse, ...] = ()
    """The terms; empty for controls that are not distilled."""
    init: Annotated[Initialisation | None, Label(since=2)] = None
    """Initialisation that belongs to the published method; overrides the spec's. A trial records the one it uses."""

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
    """Fixes this student's initialisation; null for the spec's. A trial records the one it uses."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Student:
        if self.width % self.heads:
            near = [n for n in range(1, self.width + 1) if self.width % n == 0]
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width}): one of {near}")
        return self

    @property
    def built(self) -> Student:
        """What determines its size: the inner width is written out, where weights start is left out."""
        return self.model_copy(update={"init": None, "ffn": self.ffn or 4 * self.width})

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
            layer_types=teacher.types_at(self.layers),
            window=teacher.window,
        )


class Teacher(CatalogEntry):
    """A trained encoder: students are distilled from it, and it is evaluated as a row of its own. `models:` of a spec
    are declared in the same way."""

    asset: Asset
    """Checkpoint in transformers' layout (config.json, *.safetensors, tokenizer files)."""
    format: Literal["transformers", "e5-q4"] = "transformers"
    """`e5-q4`: multilingual-e5-small as 4-bit blocks, de-quantised on loading."""
    tokenizer: Asset | None = None
    """Tokenizer files; null where they are beside the weights."""
    shape: Annotated[DeclaredShape | None, Label()] = None
    languages: Annotated[tuple[Language, ...], Label()] = ()
    """Languages it was trained on, where known."""
    trim_vocabulary: str | Corpus | None = None
    """Drop the vocabulary entries that this corpus does not use (`corpus`: the spec's own). The result is another teacher;
    give it a name of its own."""
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
    """How files are read: lines, paragraphs, brown, jsonl, parquet, gettext, messages, udhr, or a reader that an
    installed package offers (entry point `harness.readers`)."""
    field: str = "text"
    """Column of jsonl and parquet files that holds the text."""
    domain: Text = ""
    """What kind of text it is, e.g. `news`; for readers only."""

    @field_validator("reader")
    @classmethod
    def _known_reader(cls, name: str) -> str:
        if name not in READERS:
            offered = [point.name for point in entry_points(group="harness.readers")]
            if name not in offered:
                raise ValueError(f"unknown reader {name!r}; {did_you_mean(name, [*READERS, *offered])}")
        return name


class Corpus(CatalogEntry):
    """Text that students are distilled on. A spec is refused where it holds a sentence of a task's dev or test split."""

    texts: tuple[CorpusText, ...] = Field(min_length=1)
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Exponent of language sampling, p ∝ n^α over tokens (XLM-R: 0.3)."""
    held_out: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Share of documents, by hash of their text, kept for measuring masked-LM accuracy."""
    tokens_per_language: int | None = Field(default=None, ge=1)
    """Largest number of tokens used of each language; null for all."""
    streaming: Annotated[bool, Label()] = False
    """Read files of the hub and the web over the network, one after the other, and stop at `tokens_per_language`, instead
    of downloading them whole first. The text and its order are the same either way."""
    floor_characters: Annotated[int, Label(), Field(ge=0)] = 100_000
    """Students distilled on a language with less text than this carry the flag `thin_language:<code>`."""
    exclude: tuple[str | Task, ...] = ()
    """Tasks whose dev and test sentences are removed from the text; part of the corpus's identity."""

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
                raise ValueError("files at a web address can only be streamed; add `streaming: true`")
            if text.reader == "parquet" or any(set(name) & set("*?[") for name in text.asset.include):
                raise ValueError(
                    "files at a web address must be text or JSON lines (parquet cannot be read from its beginning), "
                    "and `include` must name each one without wildcards (a web server lists no files)"
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
    """Names of the columns that hold the text, the second text of a pair, the label and the id."""

    text: str
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None
    """Aligns rows across languages (retrieval)."""


Format = Literal["parquet", "jsonl", "csv", "tsv", "udhr", "conll", "conllu", "brown"]
"""How a task's files are read; `udhr`: HTML pages of the Declaration of Human Rights, columns id and text; `conll`: one
word a line, columns as `header` names them, else words (the first field) and tags (the last); `conllu`: columns form, upos
and the other eight of CoNLL-U; `brown`: word/tag, columns words and tags."""
LabelValue = Annotated[str | int | Between, Field(union_mode="left_to_right")]


class Split(Frozen):
    """Rows of one split."""

    files: str | dict[Language, str]
    """Glob below the asset, in which `{language}` stands for the language's code; or a mapping from language to glob."""
    asset: str = "data"
    """Which of the task's `assets` it is read from."""
    hash_range: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] | None = None
    """Keep rows whose text hashes into [low, high), between 0 and 1: cuts a split from data that has none."""
    format: Format | None = None
    """Format of this split's files, where it differs from the task's (e.g. training on another data set)."""
    columns: Columns | None = None
    """Columns of this split's files, where they differ from the task's."""
    labels: Annotated[dict[str, LabelValue] | None, Ordered()] = None
    """Values of the task's labels in this split's files, where they differ; names and order are the task's."""
    drop_labels: Annotated[tuple[str | int | None, ...] | None, Unordered()] = None
    """Values that mark rows without a label in this split's files, where they differ from the task's."""

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
    """Tasks of one suite (GLUE, XNLI, ...) are averaged and ranked together."""
    type: KindOfTask = "classification"
    """The kind of task: one of `harness.kinds`, or of an installed package (entry point `harness.kinds`)."""
    assets: dict[str, Asset]
    splits: dict[Literal["train", "dev", "test"], Split]
    columns: Columns
    format: Format = "parquet"
    header: tuple[str, ...] | None = None
    """Column names of csv, tsv and conll files without a header line."""
    encoding: str = "utf-8"
    labels: Annotated[dict[str, LabelValue], Ordered()] = {}
    """Label name -> its value in the data. Order is the classifier's output order."""
    drop_labels: Annotated[tuple[str | int | None, ...], Unordered()] = ()
    """Values in the data that mark rows without a label: class names where the data has them, `null` for missing values
    (null, NaN, empty text)."""
    metrics: Annotated[tuple[str, ...], Unordered(repeats=True)] = Field(min_length=1)
    languages: Annotated[tuple[Language, ...], Unordered()] = ("en",)
    """Languages that can be evaluated; the first is the pivot of a retrieval task without English."""
    train_languages: Annotated[tuple[Language, ...], Unordered()] = ("en",)
    report: Annotated[Literal["test", "dev"], Label()] = "test"
    """The split whose score is reported: `dev` where test labels are not public, which is stated wherever the score is
    shown. For a task with both splits it is part of a trial's identity."""
    rows: Annotated[dict[Literal["train", "dev", "test"], Annotated[int, Field(ge=1)]], Label()] = {}
    """Published number of rows of each split in one language: used to estimate costs where the data is not available."""
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
            raise ValueError(
                f"`report: {self.report}` names no split of this task; it has {sorted(self.splits)}"
            )
        for name, split in self.splits.items():
            if split.asset not in self.assets:
                raise ValueError(
                    f"split {name!r} reads asset {split.asset!r}; this task has {sorted(self.assets)}"
                )
            wanted = self.train_languages if name == "train" else self.languages
            if isinstance(split.files, str) and len(wanted) > 1 and "{language}" not in split.files:
                raise ValueError(
                    f"split {name!r} would read {split.files!r} in each of {', '.join(wanted)}: "
                    "write {language} in place of the code, or give one glob for each language"
                )
            if split.labels is not None and list(split.labels) != list(self.labels):
                raise ValueError(
                    f"split {name!r} has the labels {list(split.labels)}; "
                    f"they must be the task's, in its order: {list(self.labels)}"
                )
        return self


def entry_kinds() -> dict[str, type[CatalogEntry]]:
    """Folder of the catalog -> class of its entries."""
    return {"methods": Method, "students": Student, "teachers": Teacher, "corpora": Corpus, "tasks": Task}


Teacher.model_rebuild()
Corpus.model_rebuild()
