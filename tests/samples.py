"""Folders, archives and a tokenizer of their own for the tests of assets, corpora and tasks."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.assets.asset import Asset
from harness.assets.availability import check
from harness.assets.sources import Sources
from harness.spec.entries import Corpus, Task, Teacher

SPECS = Path(__file__).parents[1] / "specs"


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """An empty cache and no data folder."""
    return Sources(cache_dir=tmp_path / "cache")


@pytest.fixture(scope="session")
def shared_sources() -> Sources:
    """The user's own cache, for what is worth fetching once."""
    return Sources.from_environment(offline=False)


def wheel(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarball(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A gzipped tar archive; `links` are symbolic links, name -> target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, bytes], None]:
    """A package index in a folder, named by pip's settings; the function adds a file to a project."""
    root = tmp_path / "index"
    root.mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", root.as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)

    def add(project: str, filename: str, content: bytes) -> None:
        folder = root / project
        folder.mkdir(exist_ok=True)
        (folder / filename).write_bytes(content)
        links = [
            f'<a href="{path.name}">{path.name}</a>' for path in folder.iterdir() if path.suffix != ".html"
        ]
        (folder / "index.html").write_text("<!doctype html>" + "".join(links))

    return add


def packaged(asset: Asset, sources: Sources) -> None:
    """Skip, with the reason, where a packaged asset cannot be had here."""
    found = check(asset, sources)
    if not found.ok:
        pytest.skip(found.problem)


def catalog_task(name: str) -> Task:
    """A task of the shipped catalog."""
    return Task.model_validate(_yaml("tasks", name))


def catalog_teacher(name: str) -> Teacher:
    """A teacher of the shipped catalog."""
    return Teacher.model_validate(_yaml("teachers", name))


def catalog_corpus(name: str) -> Corpus:
    """A corpus of the shipped catalog, its excluded tasks looked up."""
    corpus = Corpus.model_validate(_yaml("corpora", name))
    return corpus.model_copy(update={"exclude": tuple(catalog_task(str(task)) for task in corpus.exclude)})


def _yaml(kind: str, name: str) -> object:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(SPECS / kind / f"{name}.yaml")
