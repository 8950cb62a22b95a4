"""Pure functions from scores to means, intervals, ranks and comparisons.

Scores of students go through `scores_table` to `rank`. A new statistic is a function in the module of its subject,
exported here; docs/statistics.md says in plain words what it estimates and assumes. Files, databases and models do
not belong here, nor does the choice of what is compared.
"""

from harness.ranking.statistics.bootstrap import (
    PairedBootstrap,
    bootstrap_means,
    expanded,
    paired_bootstrap,
    percentile_interval,
    resample_indices,
)
from harness.ranking.statistics.differences import (
    FEWEST_PAIRS,
    Difference,
    corrected_bounds,
    paired_difference,
    unpaired_difference,
    unpaired_error,
)
from harness.ranking.statistics.family_gap import (
    FamilyComparison,
    Representative,
    compare_families,
    family_interval,
)
from harness.ranking.statistics.family_sentence import family_sentence
from harness.ranking.statistics.guessing import better_than_guessing
from harness.ranking.statistics.holm import holm, holm_within
from harness.ranking.statistics.intervals import summarise
from harness.ranking.statistics.rank_tests import Friedman, average_ranks, friedman, wilcoxon_pairs
from harness.ranking.statistics.ranks import Ranks, among, definitely_above, rank
from harness.ranking.statistics.scores import (
    cell_summary,
    retention,
    scores_table,
    student_scores,
    task_means,
)

__all__ = [
    "FEWEST_PAIRS",
    "Difference",
    "FamilyComparison",
    "Friedman",
    "PairedBootstrap",
    "Ranks",
    "Representative",
    "among",
    "average_ranks",
    "better_than_guessing",
    "bootstrap_means",
    "cell_summary",
    "compare_families",
    "corrected_bounds",
    "definitely_above",
    "expanded",
    "family_interval",
    "family_sentence",
    "friedman",
    "holm",
    "holm_within",
    "paired_bootstrap",
    "paired_difference",
    "percentile_interval",
    "rank",
    "resample_indices",
    "retention",
    "scores_table",
    "student_scores",
    "summarise",
    "task_means",
    "unpaired_difference",
    "unpaired_error",
    "wilcoxon_pairs",
]
