"""Files at a web address: their identity as the server reports it, and their bytes as a stream."""

from __future__ import annotations

import io
import time

import requests
from urllib3.exceptions import HTTPError

from harness.assets.asset import WebSource
from harness.assets.problems import UnavailableError
from harness.base import digest

PATIENCE = 30.0
"""Seconds without an answer after which a connection is given up."""
PAUSES = (1.0, 5.0, 25.0, 60.0)
"""Seconds to wait before each attempt to resume a broken connection."""


def web_identity(source: WebSource, include: tuple[str, ...], timeout: float) -> str:
    """SHA-256 (64 hex digits) of the files' sizes and entity tags (else dates), not of their bytes.

    Raises UnavailableError, after about `timeout` seconds, if a file is missing.
    """
    stamps = []
    with requests.Session() as session:
        for name in sorted(set(include)):
            try:
                answer = session.head(f"{source.url}/{name}", timeout=timeout, allow_redirects=True)
            except requests.RequestException as error:
                raise UnavailableError(f"cannot be reached ({type(error).__name__})") from error
            if not answer.ok:
                raise UnavailableError(f"has no {name} (HTTP {answer.status_code})")
            stamps.append([name, answer.headers.get("Content-Length"), _stamp(answer)])
    return digest(["web", source.url, stamps], 64)


class Body(io.RawIOBase):
    """A file at a web address, read from its start; a broken connection is resumed at the same offset.

    Reading raises OSError if the server stays unreachable or the file has changed meanwhile.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._answer: requests.Response | None = None
        self._stamp: str | None = None
        self._at = 0
        self._size: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` until it is full or the file ends; the number of bytes read."""
        for pause in (*PAUSES, None):
            try:
                chunk = self._connected().raw.read1(len(buffer))
                if not chunk and self._size is not None and self._at < self._size:
                    raise requests.ConnectionError("it ends before its time")
            except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
                self._drop()
                if pause is None:
                    raise OSError(
                        f"the connection broke at byte {self._at:,}, {len(PAUSES)} times"
                    ) from error
                time.sleep(pause)
                continue
            buffer[: len(chunk)] = chunk
            self._at += len(chunk)
            return len(chunk)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        super().close()

    def _connected(self) -> requests.Response:
        if self._answer is None:
            wanted = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={self._at}-"} if self._at else {})
            answer = requests.get(self._address, headers=wanted, stream=True, timeout=PATIENCE)
            self._answer = answer
            answer.raise_for_status()
            if self._at and (
                answer.status_code != requests.codes.partial_content or _stamp(answer) != self._stamp
            ):
                raise OSError(f"the server does not go on with the same file at byte {self._at:,}")
            self._stamp = _stamp(answer)
            if "Content-Length" in answer.headers:
                self._size = self._at + int(answer.headers["Content-Length"])
        return self._answer

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer = None


def _stamp(answer: requests.Response) -> str | None:
    return answer.headers.get("ETag") or answer.headers.get("Last-Modified")
