"""What every kind of task answers, and the registry of kinds.

KINDS["classification"].trains     # an unknown name raises InputError with the nearest one

A kind derives from `FineTunedKind`, whose defaults put a head on the first token and predict one value per row,
or from `UntrainedKind`. Importing this module loads no torch: what computes is named as `module:name` and
imported where it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from harness.counted import counted
from harness.families import FAMILIES
from harness.flops import classifier_flops, forward_flops
from harness.kinds.metrics import METRICS
from harness.registry import Registry, import_name
from harness.shapes import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tensor: TypeAlias = Any
"""torch's; planning and validating use this module without torch."""


class TaskFile(Protocol):
    """What a kind reads of a task; `harness.spec.entries.Task` is one."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """Label name -> its value in the data."""

    @property
    def splits(self) -> Mapping[Any, Any]:
        """Split -> where its rows are."""

    @property
    def columns(self) -> Any:
        """`text`, `text_pair`, `label` and `id`: names of columns or None."""

    @property
    def format(self) -> str:
        """How the files of its splits are written, unless a split says otherwise."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of metrics."""


class LabelReader(Protocol):
    """Reads label values; `harness.tasks.labels.LabelMap` is one. Both methods raise InputError for values that the
    task does not account for."""

    def classes(self, values: Sequence[Any], where: str) -> list[int | None]:
        """Each value as the index of its class; None for rows to drop."""

    def numbers(self, values: Sequence[Any], where: str) -> list[float | None]:
        """Each value as a number; None for rows to drop."""


class TaskKind(ABC):
    """One kind of task. Instances hold no state."""

    name: ClassVar[str]
    """What `type:` of a task file says."""
    compares: ClassVar[tuple[str, ...]]
    """Kinds of metric (`Metric.kind`) that can score its predictions."""
    trains: ClassVar[bool]
    """Whether models are fine-tuned on such tasks."""
    has_labels: ClassVar[bool] = True
    """Whether rows carry labels, in the column `columns.label`."""
    label_dtype: ClassVar[str] = "int64"
    """NumPy type of one row's label; `object` where it is a list."""
    reads_words: ClassVar[bool] = False
    """Whether the columns for text and label hold lists: words, and something for each."""
    typical_rows: ClassVar[int] = 2_500
    """Assumed rows of a scored split, per language, where nothing is known of a task; for estimates."""
    hub_task: ClassVar[str]
    """The hub's name for such tasks, in the header of a model card."""

    def problems(self, task: TaskFile) -> Iterator[str]:
        """What a task file of this kind lacks, one sentence each; nothing where it is complete."""
        for metric in task.metrics:
            if METRICS[metric].kind not in self.compares:
                fitting = ", ".join(name for name, one in METRICS.items() if one.kind in self.compares)
                yield f"the metric {metric!r} cannot score a {self.name} task; use one of {fitting}"
        formats = {task.format, *(split.format for split in task.splits.values())}
        if not self.reads_words and (words := formats & {"conll", "conllu", "brown"}):
            yield f"{', '.join(sorted(words))} files hold tagged words, of which a {self.name} task has none"

    def read_labels(self, reader: LabelReader, values: Sequence[Any], where: str) -> list[Any]:
        """The label of each row from the values of its column; None for rows to drop."""
        return reader.classes(values, where)

    def flags(self, predictions: NDArray[Any]) -> Iterable[str]:
        """What a reader must know of a score of these predictions, each a name that follows the score."""
        return ()

    @abstractmethod
    def forward_flops(self, shape: Shape, sequences: int, tokens: int) -> int:
        """Operations of predicting `sequences` rows of `tokens` tokens."""

    @abstractmethod
    def setting(self, learning_rate: float, epochs: int) -> str:
        """How a model was brought to its score, in a few words for a table."""


class FineTunedKind(TaskKind):
    """A kind on which each model is fine-tuned with a head of its own, then predicts every row."""

    trains = True
    head: ClassVar[str] = "AutoModelForSequenceClassification"
    """The class of transformers that puts a head on the encoder."""
    reads_first_token: ClassVar[bool] = True
    """Whether the head reads only the last state of the first token, so that the last layer need compute no other."""
    loss_name: ClassVar[str]
    """Name of the loss in progress messages."""

    def problems(self, task: TaskFile) -> Iterator[str]:
        """Requires a train split and a label column."""
        if "train" not in task.splits or task.columns.label is None:
            yield f"a {self.name} task needs a train split and a label column"
        yield from super().problems(task)

    def outputs(self, task: TaskFile) -> tuple[str, ...]:
        """Names of the head's outputs, in order."""
        return tuple(task.labels)

    def targets(self, labels: NDArray[Any], batch: Any) -> NDArray[np.generic]:
        """The labels of a batch's rows as the array that `loss` reads; `batch` holds the
        same rows (`harness.tasks.encoded.PaddedRows`)."""
        return labels

    def averaged_over(self, labels: NDArray[Any]) -> int:
        """What the summed loss of these rows is divided by: how many labels they carry."""
        return len(labels)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss summed over labels, shape (), of outputs (rows, ..., outputs) float32 against `targets`."""

    def by_row(self, outputs: NDArray[np.float32], batch: Any) -> Iterable[NDArray[np.float32]]:
        """The outputs of a batch, (rows, ..., outputs), row by row, without those of padding."""
        return outputs

    @abstractmethod
    def predictions(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """Predictions (rows,), of the labels' type, from each row's outputs as `by_row` gives them."""

    def forward_flops(self, shape: Shape, sequences: int, tokens: int) -> int:
        """As far as the head reads the encoder."""
        one_state = self.reads_first_token and FAMILIES[shape.model_type].classifies_first_token
        count = classifier_flops if one_state else forward_flops
        return count(shape, sequences, tokens)

    def setting(self, learning_rate: float, epochs: int) -> str:
        """Learning rate and epochs."""
        return f"learning rate {learning_rate:g}, {counted(epochs, 'epoch')}"


class UntrainedKind(TaskKind):
    """A kind on which models are scored as they are."""

    trains = False
    evaluator: ClassVar[str]
    """`module:function` of (Attempt, FinetuneJob, LoadedModel) that scores a model and returns its Outcome."""

    def evaluate(self, attempt: Any, job: Any, loaded: Any) -> Any:
        """The `harness.attempts.attempt.Outcome` of one model."""
        return import_name(self.evaluator)(attempt, job, loaded)

    def forward_flops(self, shape: Shape, sequences: int, tokens: int) -> int:
        """The whole encoder."""
        return forward_flops(shape, sequences, tokens)

    def setting(self, learning_rate: float, epochs: int) -> str:
        """Nothing was set."""
        return "nothing: the encoder as it is"


def lists(rows: Iterable[Sequence[int]]) -> NDArray[Any]:
    """Object array (rows,) with one list of whole numbers per row: labels or predictions of a kind with several per row."""
    import numpy as np

    values = list(rows)
    array = np.empty(len(values), dtype=object)
    for position, row in enumerate(values):
        array[position] = row
    return array


KINDS: Registry[TaskKind] = Registry("kind of task")
