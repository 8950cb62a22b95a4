"""`python -m leaderboard.study`: write the generated blocks of docs/study.md and of the README, and their figures, anew."""

from __future__ import annotations

import re
from pathlib import Path

import harness
from harness.assets.sources import Sources
from harness.errors import InputError
from harness.files import write_atomically
from leaderboard.study.blocks import FIGURES, blocks, readme_blocks
from leaderboard.study.parts import read_parts

DOCS = Path(harness.__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- make study-figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(document: str, made: dict[str, str]) -> str:
    """`document` with the content of each marked block replaced. InputError for a block that nothing makes, or
    something made that has no block."""
    named = [match.group(2) for match in BLOCK.finditer(document)]
    if sorted(named) != sorted(made):
        raise InputError(
            f"blocks of the document: {', '.join(sorted(named))}; blocks that are made: {', '.join(sorted(made))}"
        )
    return BLOCK.sub(lambda match: f"{match[1]}{made[match[2]]}\n{match[3]}", document)


def main(docs: Path = DOCS) -> None:
    """Replace blocks and figures."""
    for old in (docs / FIGURES).glob("*.svg"):
        old.unlink()
    parts = read_parts(Sources.from_environment().cache_dir)
    documents = {docs / "study.md": blocks(parts, docs), docs.parent / "README.md": readme_blocks(parts)}
    for document, made in documents.items():
        write_atomically(document, filled(document.read_text("utf-8"), made))
    print(
        f"{len(parts)} parts, {len(list((docs / FIGURES).glob('*.svg')))} figures in {', '.join(map(str, documents))}"
    )


if __name__ == "__main__":
    main()
