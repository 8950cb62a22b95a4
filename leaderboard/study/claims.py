"""The claims that the study puts to the test, and what its parts say of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from leaderboard.study.evidence import AGAINST, FOR, UNDECIDED, Evidence, families, methods
from leaderboard.study.parts import Part

WHOLE = ("quickstart", "english", "multilingual")
"""Parts that compare families."""
HS = ("hs-last", "hs-uniform", "hs-uniform-consecutive", "hs-uniform-last")
MHA = ("minilmv2", "direct-minilm")
SIMPLE, SOPHISTICATED = HS[:2], HS[2:]
DISTILLED = ("od", "hs-uniform", *MHA)
COPIED = "truncated-teacher"
RANDOM = "scratch"
UNTRAINED = ("init", "steps", "batch_size", "length", "input")
"""What a start without distillation differs in from a student that is distilled."""


@dataclass(frozen=True)
class Claim:
    """One claim and all evidence for or against it."""

    text: str
    source: str
    evidence: tuple[Evidence, ...]

    @property
    def count(self) -> str:
        """`2 for, 0 against, 1 undecided`."""
        counts = Counter(one.verdict for one in self.evidence)
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in (FOR, AGAINST, UNDECIDED))


def claims(parts: Mapping[str, Part]) -> list[Claim]:
    """Every claim with the evidence that the board holds; without any where none of it was measured."""
    udagawa = "Udagawa et al., 2023"
    return [
        Claim(
            "MHA transfer is generally the best option.",
            udagawa,
            tuple(_families(parts, ("MHA", "HS"), ("MHA", "OD"))),
        ),
        Claim(
            "HS transfer stays competitive, especially under a sophisticated mapping (here: ahead of OD; and the "
            "one-to-several mappings ahead of one-to-one).",
            udagawa,
            (
                *_families(parts, ("HS", "OD")),
                *_methods(parts, [(a, b) for a in SOPHISTICATED for b in SIMPLE]),
            ),
        ),
        Claim(
            "OD transfer consistently lags behind.",
            udagawa,
            tuple(_families(parts, ("HS", "OD"), ("MHA", "OD"))),
        ),
        Claim(
            "Both MHA methods outperform HS.",
            udagawa,
            tuple(_methods(parts, [(a, b) for a in MHA for b in HS])),
        ),
        Claim(
            "DirectMiniLM is not consistently better than MiniLMv2 (for: MiniLMv2 ahead).",
            udagawa,
            tuple(_methods(parts, [("minilmv2", "direct-minilm")])),
        ),
        Claim(
            "An upper-middle teacher layer is best for both (here: the last but one, or the one before, ahead of the last).",
            udagawa,
            tuple(_methods(parts, _upper_middle(), ("teacher-layers",))),
        ),
        Claim(
            "It matters which layers are matched (for: the mappings differ).",
            "the opposite is found in arXiv 2502.04499",
            tuple(_methods(parts, [("hs-uniform", "hs-last")])),
        ),
        Claim(
            "Distilling adds more than copying the teacher's weights (for: a method ahead of the copied start without "
            "distillation).",
            "the opposite is found in arXiv 2406.16524",
            tuple(_methods(parts, [(one, COPIED) for one in DISTILLED], (*WHOLE, "tokens"), UNTRAINED)),
        ),
        Claim(
            "Distilling adds to no distillation at all (for: a method ahead of students of random weights that are only "
            "fine-tuned).",
            "a control of this study",
            tuple(_methods(parts, [(one, RANDOM) for one in DISTILLED], WHOLE, UNTRAINED)),
        ),
        Claim(
            "Distilling adds to training without a teacher on the same tokens.",
            "a control of this study",
            tuple(_methods(parts, [(one, "mlm-only") for one in DISTILLED])),
        ),
    ]


def _upper_middle() -> list[tuple[str, str]]:
    return [(f"{method}-{layer}", method) for method in MHA for layer in ("from-end-1", "layer-4")]


def _families(parts: Mapping[str, Part], *pairs: tuple[str, str]) -> Iterator[Evidence]:
    for part in (parts[name] for name in WHOLE if name in parts):
        for suite in part.suites:
            for ahead, behind in pairs:
                yield from families(part, suite, ahead, behind)


def _methods(
    parts: Mapping[str, Part],
    pairs: list[tuple[str, str]],
    names: tuple[str, ...] = WHOLE,
    across: tuple[str, ...] = (),
) -> Iterator[Evidence]:
    for part in (parts[name] for name in names if name in parts):
        for suite in part.suites:
            yield from methods(part, suite, pairs, across)
