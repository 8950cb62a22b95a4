"""Loads malicious bundles, checkpoints and models: altered at random and by design, with hashes made to agree.

Costs little per attack: most end when the file is read; those on checkpoints train a few steps.

A bundle is refused in one line or imported whole; a checkpoint is taken up, dropped or fails its trial; a model is
refused in one line or loaded. Nothing in them is executed or unpickled, nothing is written elsewhere than in the
folder that is being imported to, and nothing of a refused bundle stays there.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.injection import hostile_bundles, hostile_checkpoints, hostile_models
from tests.faults.injection.verdict import Verdict, command
from tests.faults.injection.watch import WATCH

Attack = Callable[[Path, random.Random], str]
"""(own empty folder, generator) -> outcome in a word. Raises BrokenClaimError."""


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Try `count` attacks."""
    verdict = Verdict("hostile files")
    draw = random.Random(seed)
    attacks: list[tuple[str, Attack]] = [
        ("bundle", hostile_bundles.attacks(folder / "bundles")),
        ("checkpoint", hostile_checkpoints.attacks(folder / "checkpoints")),
        ("model", hostile_models.attacks(folder / "models")),
    ]
    endings: Counter[str] = Counter()
    for number in range(count):
        name, attack = draw.choices(attacks, weights=(3, 2, 1))[0]
        place = folder / f"attack-{number}"
        place.mkdir()
        state = draw.getrandbits(64)
        with WATCH.over(place, place) as seen:
            try:
                ending = attack(place, random.Random(state))
            except Exception as error:
                ending = "broken"
                verdict.claim(False, f"{place.name} ({name}): {type(error).__name__}: {error!s:.300}")
        verdict.claim(not seen, f"{place.name} ({name}): {seen[:3]}")
        verdict.claim(not list(folder.rglob("executed*")), f"{place.name} ({name}): something was executed")
        endings[f"{name} {ending}"] += 1
        shutil.rmtree(place)
    endings_in_words = ", ".join(f"{number} {ending}" for ending, number in sorted(endings.items()))
    verdict.figures = f"{count} attacks: {endings_in_words}"
    return verdict


if __name__ == "__main__":
    command(prove, count=500)
