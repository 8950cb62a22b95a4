"""Where this user's package indexes are: the settings of pip, uv and npm, read as those tools read them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT


@dataclass(frozen=True)
class PackageSettings:
    """Package indexes, in the order in which they are tried."""

    pypi: tuple[str, ...]
    """PEP 503/691 index addresses; `file://` folders are allowed."""
    npm: str | None
    """Address of the npm registry; None if the settings name none (then `npm_default_registry`)."""
    npm_scopes: Mapping[str, str] = field(default_factory=dict)
    """`@scope` -> its own registry."""
    npm_tokens: Mapping[str, str] = field(default_factory=dict)
    """Registry address without its scheme -> bearer token."""
    certificates: str | None = None
    """CA bundle; None for the library's default."""

    @classmethod
    def configured(cls, environ: Mapping[str, str] = os.environ) -> PackageSettings:
        """Settings of this user on this machine; environment first, then configuration files."""
        pip, npm = _pip_settings(environ), _npm_settings(environ)
        certificates = (
            environ.get("PIP_CERT")
            or environ.get("REQUESTS_CA_BUNDLE")
            or environ.get("SSL_CERT_FILE")
            or pip.get("cert")
            or npm.get("cafile")
        )
        return cls(
            pypi=tuple(dict.fromkeys(_pip_indexes(environ, pip))),
            npm=npm.get("registry"),
            npm_scopes={
                key[: -len(":registry")]: url for key, url in npm.items() if key.endswith(":registry")
            },
            npm_tokens={
                key.removesuffix(":_authToken").strip("/"): value
                for key, value in npm.items()
                if key.startswith("//") and key.endswith(":_authToken")
            },
            certificates=certificates if certificates and Path(certificates).exists() else None,
        )


def _pip_indexes(environ: Mapping[str, str], pip: Mapping[str, str]) -> Iterator[str]:
    uv_default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    yield environ.get("PIP_INDEX_URL") or uv_default or pip.get("index-url") or PYPI_SIMPLE_ENDPOINT
    if uv_default:
        yield _without_name(uv_default)
    for several in (
        environ.get("PIP_EXTRA_INDEX_URL"),
        environ.get("UV_INDEX"),
        environ.get("UV_EXTRA_INDEX_URL"),
        pip.get("extra-index-url"),
    ):
        yield from (_without_name(url) for url in (several or "").split())


def _without_name(index: str) -> str:
    """The address alone: uv allows `name=address`."""
    return re.sub(r"^[A-Za-z0-9_.-]+=(?=[a-z]+://)", "", index)


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The `[global]`, `[install]` and `[download]` sections of pip's configuration files, later files win."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return {}
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        Path(folder) / "pip/pip.conf"
        for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        if folder
    ]
    files += [Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf"]
    if sys.platform == "darwin":
        files.append(home / "Library/Application Support/pip/pip.conf")
    if sys.platform == "win32":
        files.append(Path(environ.get("APPDATA", "")) / "pip/pip.ini")
    files += [Path(sys.prefix) / "pip.conf", Path(site.PREFIXES[0]) / "pip.conf"]
    if own:
        files.append(Path(own))
    settings: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip itself would complain; another source may still serve
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                settings.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    return settings


def _npm_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """npm's key = value files (user's, then the folder's) and environment variables, later ones win."""
    home = Path(environ.get("HOME") or Path.home())
    user = Path(
        environ.get("npm_config_userconfig") or environ.get("NPM_CONFIG_USERCONFIG") or home / ".npmrc"
    )
    settings: dict[str, str] = {}
    for file in (user, Path(".npmrc")):
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                filled = re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], ""), value.strip())
                settings[key.strip()] = filled.strip('"')
    for name, value in environ.items():
        if name.lower().startswith("npm_config_") and value:
            settings[name[len("npm_config_") :].lower().replace("_", "-")] = value
    return settings


@cache
def npm_default_registry() -> str | None:
    """The registry that an installed npm client uses; asked once per process, as npm starts slowly."""
    client = shutil.which("npm")
    if client is None:
        return None
    command = [client, "config", "get", "registry"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    registry = answer.stdout.strip()
    return registry if registry.startswith(("http://", "https://")) else None
