"""From predictions to numbers: the metrics of GLUE, XNLI and cross-lingual retrieval, by name.

    compute("matthews", predictions=[1, 0, 1], labels=[1, 0, 0])
    METRICS["f1"].kind            # an unknown name raises InputError with the nearest one

All values are fractions in [lowest, 1], never percent; higher is always better. Importing this module
loads neither NumPy nor scikit-learn nor SciPy, so that a spec's metric names can be checked cheaply.

Degenerate input, as scikit-learn and SciPy have it: F1 is 0 where precision and recall are both undefined;
Matthews is 0 where its denominator is 0; a correlation is NaN where a side is constant (all entries equal,
whatever the rounding of their variance) or holds a NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Metric:
    """One metric; `score(predictions, labels)` takes two checked 1-D arrays of one length."""

    kind: str
    """The kind of task whose predictions it compares: class indices, real numbers, for each query the index of the
    retrieved and of the right candidate, or what a further kind predicts."""
    score: Callable[[NDArray[np.generic], NDArray[np.generic]], float]
    lowest: float
    """Smallest possible value; the largest, that of perfect predictions, is 1."""
    classes: int | None = None
    """The only number of classes the metric is defined for; None for any."""
    needs: int = 1
    """Fewest examples for which it is defined."""
    read: Callable[[ArrayLike, str], NDArray[np.generic]] | None = None
    """(values, what they are) -> a checked array of shape (examples,); None reads indices. Raises ValueError."""
    no_information: Callable[[NDArray[np.generic]], float] | None = None
    """Labels -> the best score reachable without looking at the inputs; None where it depends on more than labels."""
    chance: Callable[[int], float] | None = None
    """Number of classes -> the expected score of random guessing: above 0 for a share of right answers, 0 for a
    correlation; None where it depends on more."""


METRICS: Registry[Metric] = Registry("metric")


def compute(metric_name: str, predictions: ArrayLike, labels: ArrayLike) -> float:
    """The metric `metric_name` of `predictions` against `labels`, both of shape (examples,); a Python float, possibly NaN.

    Class and candidate indices may come as any integer type, or as floats with integral values; real numbers
    are computed in float64. Raises InputError for an unknown metric, and ValueError for shapes that differ or
    are not 1-D, for too few examples, for class indices that are not whole numbers (a NaN is none), and for a
    class outside {0, 1} where the metric is binary.
    """
    metric = METRICS[metric_name]
    read = metric.read or _indices
    predicted, wanted = read(predictions, "predictions"), read(labels, "labels")
    if len(predicted) != len(wanted):
        raise ValueError(f"{metric_name}: {len(predicted)} predictions for {len(wanted)} labels")
    if len(wanted) < metric.needs:
        raise ValueError(f"{metric_name} needs at least {metric.needs} example(s), got {len(wanted)}")
    if metric.classes is not None:
        for role, values in (("predictions", predicted), ("labels", wanted)):
            if values.min() < 0 or values.max() >= metric.classes:
                raise ValueError(
                    f"{metric_name} is defined for {metric.classes} classes (0 and 1); {role} hold others"
                )
    return float(metric.score(predicted, wanted))


def _indices(values: ArrayLike, role: str) -> NDArray[np.int64]:
    """`values` as int64 of shape (examples,); ValueError if they are not whole numbers."""
    import numpy as np

    array = _one_dimensional(values, role)
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        whole = (
            np.issubdtype(array.dtype, np.floating)
            and np.isfinite(array).all()
            and (array == np.trunc(array)).all()
        )
        if not whole:
            raise ValueError(
                f"{role} must be whole numbers (indices of classes or candidates), got {array.dtype}"
            )
    return array.astype(np.int64)


def _real_numbers(values: ArrayLike, role: str) -> NDArray[np.float64]:
    """`values` as float64 of shape (examples,); ValueError if they are not numbers."""
    import numpy as np

    array = _one_dimensional(values, role)
    if not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{role} must be numbers, got {array.dtype}")
    return array.astype(np.float64)


def _one_dimensional(values: ArrayLike, role: str) -> NDArray[np.generic]:
    import numpy as np

    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{role} must be 1-D, got shape {array.shape}")
    return array


def _accuracy(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    from sklearn.metrics import accuracy_score

    return accuracy_score(labels, predictions)


def _f1(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """2TP / (2TP + FP + FN) of class 1."""
    from sklearn.metrics import f1_score

    return f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0)


def _macro_f1(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Unweighted mean of the F1 of every class found in the labels or the predictions."""
    from sklearn.metrics import f1_score

    return f1_score(labels, predictions, average="macro", zero_division=0)


def _matthews(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Matthews correlation, for more than two classes as generalised by Gorodkin 2004."""
    import numpy as np
    from sklearn.metrics import matthews_corrcoef

    if _constant(predictions) or _constant(labels):
        return 0.0  # the denominator is 0; decided by equality, so no rounding can leak in
    return float(np.clip(matthews_corrcoef(labels, predictions), -1.0, 1.0))


def _pearson(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    from scipy.stats import pearsonr

    return float("nan") if _no_correlation(predictions, labels) else pearsonr(predictions, labels).statistic


def _spearman(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Pearson correlation of the average ranks."""
    from scipy.stats import spearmanr

    return float("nan") if _no_correlation(predictions, labels) else spearmanr(predictions, labels).statistic


def _no_correlation(predictions: NDArray[np.generic], labels: NDArray[np.generic]) -> bool:
    """Whether a side is constant or holds a value that is not finite."""
    import numpy as np

    return any(_constant(side) or not np.isfinite(side).all() for side in (predictions, labels))


def _constant(values: NDArray[np.generic]) -> bool:
    return bool((values == values[0]).all())


def _commonest(labels: NDArray[np.generic]) -> float:
    """The share of the commonest class: the no-information rate."""
    import numpy as np

    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _one_of_the_candidates(labels: NDArray[np.generic]) -> float:
    return 1 / len(labels)


def _unrelated(_: object) -> float:
    """The correlation of guesses with anything."""
    return 0.0


METRICS.register(
    "accuracy",
    Metric(
        "classification",
        _accuracy,
        lowest=0.0,
        no_information=_commonest,
        chance=lambda classes: 1 / max(1, classes),
    ),
)
METRICS.register("f1", Metric("classification", _f1, lowest=0.0, classes=2))
METRICS.register("macro_f1", Metric("classification", _macro_f1, lowest=0.0))
METRICS.register(
    "matthews",
    Metric("classification", _matthews, lowest=-1.0, no_information=_unrelated, chance=_unrelated),
)
for _name, _correlation in {"pearson": _pearson, "spearman": _spearman}.items():
    METRICS.register(
        _name,
        Metric(
            "regression",
            _correlation,
            lowest=-1.0,
            needs=2,
            read=_real_numbers,
            no_information=_unrelated,
            chance=_unrelated,
        ),
    )
METRICS.register(
    "accuracy@1", Metric("retrieval", _accuracy, lowest=0.0, no_information=_one_of_the_candidates)
)
