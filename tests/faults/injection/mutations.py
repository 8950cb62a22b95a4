"""Random damage to files: to their bytes, or to the data in them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

SNIPPETS: tuple[bytes, ...] = (
    b"!!python/object/apply:os.system ['touch executed']",
    b"!!python/object/new:subprocess.Popen [[touch, executed]]",
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
    b"&loop [*loop]", b"<<: *x", b"- - - - - - - -", b"[" * 200, b"{" * 200, b"? ", b"\t", b"\r", b"\x00", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"%YAML 1.1\n---\n", b"---\n", b"...\n", b"!<tag:x>", b"|", b">-\n", b"'", b'"',
    b"1e999", b".nan", b"-.inf", b"0x" + b"f" * 60, b"9" * 5000, b"1_000_000_000", b"~", b"__proto__: 1\n", b"#",
    b"${HOME}", b"{{7*7}}", b"../" * 30 + b"etc/passwd", "ｅｖｉｌ: ‮".encode(), b": ", b"\n\n\n", b" " * 500,
)  # fmt: skip
"""Byte strings inserted into files, besides random bytes."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 64, 10**9, 10**12, -(10**30), 2**63, 0.0, 0.5, -0.1, 1e-300, 1e300, "", " ", "x",
    "none", "od", "en", "all", "same", "xnli15", "auto", "1", "1e-4", "no such name", "../../etc/passwd", "/etc/passwd",
    "./specs", "a" * 3000, "\x00", "\u202e", "🙂", "!!python/name:os.system", "__class__", "%s%n", [], {}, [[]], [None],
    [1, 2, 3], ["en", "de"], ["en"] * 50, [0] * 200, {"term": "logits"}, {"a": {"b": {"c": {}}}}, {"": ""}, {"name": "x"},
    {"schema": 1}, {"path": "/"}, {"method": "od"}, list(range(300)),
)  # fmt: skip
"""Replacement values."""


def damage_bytes(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """`content` after one to four random edits, which may insert pieces of `other`."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        start = draw.randrange(len(content) + 1)
        stop = min(len(content), start + int(draw.expovariate(1 / 12)))
        piece = content[start:stop]
        cut = draw.randrange(len(other) + 1)
        blow: bytes = draw.choice(
            (
                b"",
                bytes(draw.randrange(256) for _ in range(draw.randint(1, 8))),
                draw.choice(SNIPPETS),
                piece + draw.choice(SNIPPETS),
                piece * draw.choice((2, 3, 50)),
                piece[::-1],
                piece.swapcase(),
                other[cut : cut + draw.randint(1, 400)],
            )
        )
        content = content[:start] + blow + content[stop:]
        if draw.random() < 0.05:
            content = content[: draw.randrange(len(content) + 1)]
    return content


def damage_data(data: Any, other: Any, draw: random.Random) -> Any:
    """A copy of JSON-like `data` after one to three random edits, which may insert parts of `other`."""
    changed = [copy.deepcopy(data)]  # in a list, so that the whole may be replaced too
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(changed))
        container, key = draw.choice(places)
        draw.choice(_CHANGES)(container, key, [copy.deepcopy(c[k]) for c, k in _places([other])], draw)
    return changed[0]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of every node below."""
    keys: Iterator[Any] = iter(list(node)) if isinstance(node, dict) else iter(range(len(node)))
    for key in keys:
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _places(node[key])


def _replace(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    container[key] = copy.deepcopy(draw.choice(VALUES))


def _transplant(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    container[key] = draw.choice(parts)


def _drop(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    if isinstance(container, dict):
        del container[key]
    else:
        container[key] = None


def _rename(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    if isinstance(container, dict):
        name = str(key)
        at = draw.randrange(len(name) + 1)
        container[draw.choice((name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], ""))] = container.pop(
            key
        )


def _wrap(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    for _ in range(draw.choice((1, 2, 40))):
        container[key] = draw.choice(([container[key]], {"x": container[key]}))


def _repeat(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    container[key] = [container[key]] * draw.choice((2, 3, 300))


def _scale(container: Any, key: Any, parts: list[Any], draw: random.Random) -> None:
    if isinstance(container[key], (int, float)):
        container[key] = container[key] * draw.choice((-1, 0, 2, 0.5, 1000, 10**9)) + draw.choice((0, 1, -1))


_CHANGES: tuple[Callable[[Any, Any, list[Any], random.Random], None], ...] = (
    _replace, _replace, _transplant, _drop, _rename, _wrap, _repeat, _scale,
)  # fmt: skip
