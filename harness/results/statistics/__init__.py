"""Pure functions from scores to means, intervals, ranks and comparisons; they know nothing of files,
databases or models.

Data flow: long scores -> `student_means` -> `scores_table` -> `rank`. What each interval and test assumes and
estimates is told in plain words in docs/statistics.md. A new statistic is a function in the module of its
subject, exported here.
"""

from harness.results.statistics.bootstrap import (
    PairedBootstrap,
    bootstrap_means,
    paired_bootstrap,
    paired_bootstrap_over_examples,
    paired_bootstrap_over_tasks,
    percentile_interval,
    resample_indices,
)
from harness.results.statistics.chance import above_chance, correlation_far_below_zero, far_below_chance
from harness.results.statistics.families import (
    FamilyComparison,
    WelchDifference,
    compare_families,
    family_sentence,
    welch_difference,
)
from harness.results.statistics.holm import holm
from harness.results.statistics.intervals import summarise
from harness.results.statistics.rank_tests import Friedman, average_ranks, friedman, wilcoxon_pairs
from harness.results.statistics.ranking import Ranking, definitely_above, rank
from harness.results.statistics.scores import (
    cell_summary,
    retention,
    scores_table,
    student_means,
    student_scores,
    task_means,
)

__all__ = [
    "FamilyComparison",
    "Friedman",
    "PairedBootstrap",
    "Ranking",
    "WelchDifference",
    "above_chance",
    "average_ranks",
    "bootstrap_means",
    "cell_summary",
    "compare_families",
    "correlation_far_below_zero",
    "definitely_above",
    "family_sentence",
    "far_below_chance",
    "friedman",
    "holm",
    "paired_bootstrap",
    "paired_bootstrap_over_examples",
    "paired_bootstrap_over_tasks",
    "percentile_interval",
    "rank",
    "resample_indices",
    "retention",
    "scores_table",
    "student_means",
    "student_scores",
    "summarise",
    "task_means",
    "welch_difference",
    "wilcoxon_pairs",
]
