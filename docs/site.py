"""What the site has beside docs/: the README as its first page, and the files of the repository that pages point to.

A hook of mkdocs (`mkdocs.yml`). In docs/, `../specs/quickstart.yaml` is the file of the repository; the site keeps a copy of
each such file below source/.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)[^)#\s]+|(?<=src=")[^":]+|(?<=srcset=")[^":]+')
PAGES = ("CONTRIBUTING.md", "benchmarks/RESULTS.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README, the other pages outside docs/, and every file that a page points to."""
    shown = {"README.md": "index.md"} | {page: f"source/{page}" for page in PAGES}
    pointed = {
        target
        for page in [*ROOT.glob("docs/*.md"), *(ROOT / name for name in shown)]
        for target in _targets(page)
        if target not in shown and not target.startswith("docs/")
    }
    for name, place in shown.items():
        text = LINK.sub(_moved(name, place), (ROOT / name).read_text("utf-8"))
        files.append(File.generated(config, place, content=text))
    for target in sorted(pointed):
        files.append(File.generated(config, f"source/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Point a page of docs/ to the copies."""
    source = page.file.src_uri  # type: ignore[attr-defined]
    if "/" in source or source == "index.md":
        return markdown
    return LINK.sub(_moved(f"docs/{source}", source), markdown)


def _targets(page: Path) -> set[str]:
    """Files of the repository to which a page points, from its root."""
    folder = page.parent.relative_to(ROOT)
    found = {_normal(folder / one) for one in LINK.findall(page.read_text("utf-8"))}
    return {target for target in found if (ROOT / target).is_file()}


def _moved(name: str, place: str) -> Callable[[re.Match[str]], str]:
    """From a link in the file `name` to one that means the same on the page `place`."""

    def link(found: re.Match[str]) -> str:
        target = _normal(PurePosixPath(name).parent / found.group())
        if target == "README.md":
            there = "index.md"
        elif target.startswith("docs/"):
            there = target.removeprefix("docs/")
        else:
            there = f"source/{target}"
        up = "../" * (len(PurePosixPath(place).parts) - 1)
        return up + there

    return link


def _normal(path: PurePosixPath | Path) -> str:
    """`docs/../specs/a.yaml` as `specs/a.yaml`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
