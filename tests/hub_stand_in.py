"""A hub of our own behind huggingface_hub's HTTP client: repositories with branches and commits, as it serves them.

Only the transport is replaced; resolving, listing, downloading and caching are huggingface_hub's own code.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx2

_API = re.compile(r"/api/(models|datasets)/(.+?)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?$")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


@dataclass
class HubStandIn:
    """Repositories by (`models` or `datasets`, name)."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Commit -> files."""
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    """Repository -> commit of its branch `main`."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""

    def push(self, repo: str, files: dict[str, bytes], kind: str = "datasets") -> str:
        """Put files on `main`; returns the new commit."""
        commit = hashlib.sha1(repr((repo, sorted(files.items()))).encode()).hexdigest()
        self.commits[commit] = files
        self.branches[kind, repo] = commit
        return commit

    def client(self) -> httpx2.Client:
        """What `huggingface_hub.set_client_factory` takes."""
        return httpx2.Client(transport=httpx2.MockTransport(self._answer), follow_redirects=True)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = unquote(request.url.path)
        self.asked.append(f"{request.method} {path}")
        if found := _API.fullmatch(path):
            return self._describe(*found.groups())
        if found := _FILE.fullmatch(path):
            return self._serve(request.method, *found.groups())
        return httpx2.Response(404)

    def _describe(
        self, kind: str, repo: str, what: str | None, revision: str | None, folder: str | None
    ) -> httpx2.Response:
        commit = self._commit(kind, repo, revision or "main")
        if commit is None:
            return httpx2.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        files = self.commits[commit]
        if what == "tree":
            return httpx2.Response(
                200,
                json=[
                    {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
                    for name, content in files.items()
                ],
            )
        listed = [{"rfilename": name} for name in files]
        return httpx2.Response(200, content=json.dumps({"id": repo, "sha": commit, "siblings": listed}))

    def _serve(
        self, method: str, datasets: str | None, repo: str, revision: str, name: str
    ) -> httpx2.Response:
        commit = self._commit("datasets" if datasets else "models", repo, revision)
        if commit is None or name not in self.commits[commit]:
            return httpx2.Response(404, headers={"X-Error-Code": "EntryNotFound"})
        content = self.commits[commit][name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"', "Content-Length": str(len(content))}
        return httpx2.Response(200, headers=headers, content=b"" if method == "HEAD" else content)

    def _commit(self, kind: str, repo: str, revision: str) -> str | None:
        main = self.branches.get((kind, repo))
        return main if main is None or revision == "main" else revision if revision in self.commits else None


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
