"""Pinned archives from a package index: located by version, streamed to disk, kept only if the SHA-256 matches.

Nothing is installed, and no code of a package ever runs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import requests
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pypi_simple import DistributionPackage, ProjectPage, PyPISimple
from pypi_simple.errors import NoSuchProjectError, UnsupportedRepoVersionError

from harness.assets.archives import MEBIBYTE
from harness.assets.asset import NpmSource, PypiSource
from harness.assets.package_settings import PackageSettings, npm_default_registry
from harness.assets.problems import UnavailableError

LARGEST_ARCHIVE = 512 * MEBIBYTE
"""Bytes; a larger download is aborted."""


@dataclass(frozen=True)
class Located:
    """An archive that an index offers."""

    url: str
    sha256: str
    """As the asset pins it."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """Last part of the address."""
        return unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])


class PackageIndex:
    """The package indexes that the user configured."""

    def __init__(self, settings: PackageSettings, timeout: float = 15.0) -> None:
        self._settings = settings
        self._timeout = timeout
        """Seconds without an answer after which an index counts as unreachable."""
        self._session = requests.Session()
        if settings.certificates:
            self._session.verify = settings.certificates

    def locate(self, source: PypiSource | NpmSource) -> Located:
        """Where the pinned archive is. Raises UnavailableError."""
        try:
            return self._locate_pypi(source) if isinstance(source, PypiSource) else self._locate_npm(source)
        except (requests.RequestException, OSError) as error:
            raise UnavailableError(_cause(error)) from error
        except (ValueError, KeyError, UnsupportedRepoVersionError) as error:
            raise UnavailableError(
                f"the index answered something unexpected ({type(error).__name__}: {error})"
            ) from error

    def _locate_pypi(self, source: PypiSource) -> Located:
        name, _, version = source.pypi.partition("==")
        problems: list[str] = []
        for index in self._settings.pypi:
            try:
                page = self._project_page(index, name)
            except (requests.RequestException, OSError, ValueError, UnsupportedRepoVersionError) as error:
                problems.append(_cause(error))
                continue
            if page is None:
                continue
            packages = [package for package in page.packages if _is_wanted(package, source, version)]
            if packages:
                return Located(packages[0].url, source.sha256)
            problems.append(
                f"has no {'source archive' if source.sdist else 'wheel'} of {source.pypi} as pinned"
            )
        raise UnavailableError(
            "; ".join(dict.fromkeys(problems)) or f"no configured package index has {name}"
        )

    def _project_page(self, index: str, name: str) -> ProjectPage | None:
        """The files of a project on one index; None where the index does not have it."""
        if index.startswith("file://"):
            folder = Path(unquote(urlsplit(index).path)) / canonicalize_name(name)
            page = folder / "index.html"
            if not page.is_file():
                return None
            return ProjectPage.from_html(name, page.read_text("utf-8"), base_url=f"{folder.as_uri()}/")
        with PyPISimple(index, session=self._session) as client:
            try:
                return client.get_project_page(name, timeout=self._timeout)
            except NoSuchProjectError:
                return None

    def _locate_npm(self, source: NpmSource) -> Located:
        name, _, version = source.npm.rpartition("@")
        registry = self._settings.npm_scopes.get(name.split("/")[0]) or self._settings.npm
        registry = registry or npm_default_registry()
        if registry is None:
            raise UnavailableError("no npm registry is configured: set npm_config_registry, or install npm")
        registry = registry.rstrip("/")
        token = self._settings.npm_tokens.get(registry.partition("://")[2])
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        address = f"{registry}/{quote(name, safe='@')}"
        answer = self._session.get(f"{address}/{version}", headers=headers, timeout=self._timeout)
        if answer.status_code == 404:
            raise UnavailableError(f"the npm registry has no {source.npm}")
        answer.raise_for_status()
        tarball = answer.json()["dist"]["tarball"]
        if urlsplit(tarball).netloc != urlsplit(registry).netloc:
            headers = {}  # a token is for its own registry only
        return Located(tarball, source.sha256, headers)

    def download(self, archive: Located, folder: Path) -> Path:
        """The archive as a file below `folder`, its SHA-256 checked. Raises UnavailableError."""
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                sha256 = hashlib.sha256()
                for chunk in self._chunks(archive):
                    sha256.update(chunk)
                    out.write(chunk)
            if sha256.hexdigest() != archive.sha256:
                problem = f"has SHA-256 {sha256.hexdigest()}, not the pinned {archive.sha256}"
                raise UnavailableError(f"{archive.filename} {problem}")
            os.replace(name, folder / archive.sha256)
        finally:
            Path(name).unlink(missing_ok=True)
        return folder / archive.sha256

    def _chunks(self, archive: Located) -> Iterator[bytes]:
        """The archive's bytes, at most LARGEST_ARCHIVE."""
        received = 0
        for chunk in self._raw_chunks(archive):
            received += len(chunk)
            if received > LARGEST_ARCHIVE:
                raise UnavailableError(f"{archive.filename} is larger than {LARGEST_ARCHIVE:,} bytes")
            yield chunk

    def _raw_chunks(self, archive: Located) -> Iterator[bytes]:
        if archive.url.startswith("file://"):
            path = Path(unquote(urlsplit(archive.url).path))
            with path.open("rb") as file:
                while chunk := file.read(MEBIBYTE):
                    yield chunk
            return
        try:
            with self._session.get(
                archive.url, headers=archive.headers, timeout=self._timeout, stream=True
            ) as answer:
                answer.raise_for_status()
                yield from answer.iter_content(MEBIBYTE)
        except requests.RequestException as error:
            raise UnavailableError(_cause(error)) from error


def _is_wanted(package: DistributionPackage, source: PypiSource, version: str) -> bool:
    """Whether this file of the project is the pinned archive, according to the index."""
    if package.package_type != ("sdist" if source.sdist else "wheel"):
        return False
    try:
        if package.version is None or Version(package.version) != Version(version):
            return False
    except InvalidVersion:
        return False
    stated = package.digests.get("sha256")
    return stated is None or stated == source.sha256


def _cause(error: Exception) -> str:
    """One line about a network error, without addresses (they may contain passwords)."""
    if isinstance(error, requests.Timeout):
        return "the index did not answer in time"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the index answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "the index's certificate is not trusted (PIP_CERT names a CA bundle)"
    if isinstance(error, requests.ConnectionError):
        return "the index cannot be reached"
    return f"the index cannot be read ({type(error).__name__})"
