"""Streamed text: the same documents as of whole files, from the hub, the web or a folder, and no file before its turn."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from hub_stand_in import HubStandIn
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory
from samples import _yaml

from harness.assets.asset import Asset, WebSource
from harness.assets.availability import check
from harness.assets.sources import Sources
from harness.corpora.blocks import build_blocks
from harness.corpora.cleaning import CleaningCounts
from harness.corpora.corpus import CorpusReader
from harness.errors import AssetError, InputError
from harness.files import text_hash
from harness.spec.entries import Corpus

from .test_stream import word_tokenizer

SHARDS = [f"train-0000{n}-of-00003" for n in range(3)]
ORDER = sorted(SHARDS, key=lambda name: text_hash(f"{name}.parquet"))


def article(part: int, number: int) -> str:
    return f"Makala ya {part} na {number} kuhusu mto."


def parquet(part: int, articles: int = 2_000) -> bytes:
    """A file as Wikipedia's are: id and text among the columns."""
    buffer = io.BytesIO()
    texts = [article(part, n) for n in range(articles)]
    pd.DataFrame({"id": range(articles), "text": texts}).to_parquet(buffer)
    return buffer.getvalue()


def wikipedia(languages: tuple[str, ...] = ("sw",), **changes: object) -> Corpus:
    """The shipped Wikipedia corpus, cut to some languages and without tasks to look up."""
    corpus = Corpus.model_validate({**_yaml("corpora", "wikipedia-xnli15"), "exclude": []})
    texts = tuple(text for text in corpus.texts if text.language in languages)
    return corpus.model_copy(update={"texts": texts, **changes})


def own(folder: Path, reader: str, pattern: str, **changes: object) -> Corpus:
    """A streamed corpus of a folder."""
    asset = {"sources": [{"path": str(folder)}], "include": [pattern]}
    texts = [{"language": "sw", "reader": reader, "asset": asset}]
    return Corpus.model_validate({"name": "own", "streaming": True, "texts": texts} | changes)


def documents(corpus: Corpus, sources: Sources, language: str = "sw") -> list[str]:
    return list(CorpusReader(corpus, sources).documents(language, CleaningCounts()))


def whole(corpus: Corpus) -> Corpus:
    return corpus.model_copy(update={"streaming": False})


def in_folder(data: Path, language: str = "sw") -> Path:
    """Three files in the hub's layout."""
    folder = data / "wikimedia" / "wikipedia" / f"20231101.{language}"
    folder.mkdir(parents=True)
    for part, name in enumerate(SHARDS):
        (folder / f"{name}.parquet").write_bytes(parquet(part))
    return folder


class Opened:
    """Names of the files that Python opens while it is asked to look."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.looks = False
        sys.addaudithook(self._on_event)  # cannot be removed; does nothing unless `looks`

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.looks and event == "open" and isinstance(arguments[0], str):
            self.names.add(Path(arguments[0]).name)


@pytest.fixture(scope="module")
def audit() -> Opened:
    return Opened()


@pytest.fixture
def opened(audit: Opened) -> Iterator[set[str]]:
    audit.names.clear()
    audit.looks = True
    yield audit.names
    audit.looks = False


def packed(folder: Path, reader: str, ending: str) -> None:
    """Three files of 600 documents each."""
    for part in range(3):
        texts = [article(part, n) for n in range(600)]
        path = folder / f"part-{part}.{ending}"
        if reader == "jsonl":
            content = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts))
        else:
            content = ("\n\n" if reader == "paragraphs" else "\n").join(texts)
        if ending.endswith("gz"):
            path.write_bytes(gzip.compress(content.encode()))
        elif ending.endswith("xz"):
            path.write_bytes(lzma.compress(content.encode()))
        elif reader == "parquet":
            pd.DataFrame({"text": texts}).to_parquet(path)
        else:
            path.write_text(content)
    time.sleep(0.1)  # a hash is remembered only of a file that is older than a tick of the clock


@pytest.mark.parametrize(
    ("reader", "ending"),
    [
        ("parquet", "parquet"),
        ("jsonl", "jsonl"),
        ("jsonl", "jsonl.gz"),
        ("lines", "txt.gz"),
        ("paragraphs", "txt.xz"),
    ],
)
def test_a_stream_gives_what_whole_files_give_and_opens_none_beyond_the_budget(
    reader: str, ending: str, tmp_path: Path, sources: Sources, opened: set[str]
) -> None:
    packed(tmp_path, reader, ending)
    corpus = own(tmp_path, reader, f"*.{ending}")
    assert documents(corpus, sources) == documents(whole(corpus), sources)
    order = sorted((f"part-{part}.{ending}" for part in range(3)), key=text_hash)
    small = corpus.model_copy(update={"tokens_per_language": 100})
    opened.clear()
    build_blocks(small, word_tokenizer(), "words", 16, sources)
    assert opened & set(order) == {order[0]}
    larger = corpus.model_copy(update={"tokens_per_language": 5_000})
    opened.clear()
    build_blocks(larger, word_tokenizer(), "words", 16, sources)
    assert opened & set(order) == set(order[:2])


def test_streamed_or_fetched_it_is_the_same_corpus(tmp_path: Path) -> None:
    in_folder(tmp_path / "data")
    local = Sources(tmp_path / "cache", data_dir=tmp_path / "data", offline=True)
    stream = build_blocks(wikipedia(), word_tokenizer(), "words", 16, local)
    fetched = build_blocks(
        whole(wikipedia()), word_tokenizer(), "words", 16, Sources(tmp_path / "other", local.data_dir, True)
    )
    assert stream.sha256 == fetched.sha256
    assert stream.languages == fetched.languages
    assert (stream.training("sw") == fetched.training("sw")).all()


def test_blocks_that_were_cut_off_go_on_with_the_language_they_were_at(
    tmp_path: Path, opened: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for language in ("ar", "sw"):
        in_folder(tmp_path / "data", language)
    sources = Sources(tmp_path / "cache", data_dir=tmp_path / "data", offline=True)
    corpus = wikipedia(("ar", "sw"), tokens_per_language=2_000)
    whole_at_once = build_blocks(
        corpus, word_tokenizer(), "words", 16, Sources(tmp_path / "other", sources.data_dir, True)
    )

    read, documents = [], CorpusReader.documents

    def noted(reader: CorpusReader, language: str, counts: CleaningCounts) -> Iterator[str]:
        read.append(language)
        return documents(reader, language, counts)

    def broken_off(reader: CorpusReader, language: str, counts: CleaningCounts) -> Iterator[str]:
        for number, document in enumerate(documents(reader, language, counts)):
            if language == "sw" and number == 100:
                raise KeyboardInterrupt
            yield document

    monkeypatch.setattr(CorpusReader, "documents", broken_off)
    with pytest.raises(KeyboardInterrupt):
        build_blocks(corpus, word_tokenizer(), "words", 16, sources)
    monkeypatch.setattr(CorpusReader, "documents", noted)
    blocks = build_blocks(corpus, word_tokenizer(), "words", 16, sources)
    assert read == ["sw"]
    assert blocks.languages == whole_at_once.languages
    for language in ("ar", "sw"):
        assert (blocks.training(language) == whole_at_once.training(language)).all()
    assert not list((tmp_path / "cache" / "blocks").glob("*.part"))
    opened.clear()
    build_blocks(corpus, word_tokenizer(), "words", 16, sources)
    assert not [name for name in opened if name.endswith(".parquet")]  # from the cache


def test_a_stream_that_breaks_off_names_the_file(tmp_path: Path, sources: Sources) -> None:
    packed(tmp_path, "paragraphs", "txt.xz")
    broken = tmp_path / "part-1.txt.xz"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(AssetError, match=r"part-1.txt.xz: the stream broke off: .* are kept"):
        documents(own(tmp_path, "paragraphs", "*.xz"), sources)


def test_a_field_that_is_not_there_is_named(tmp_path: Path, sources: Sources) -> None:
    packed(tmp_path, "jsonl", "jsonl")
    corpus = own(tmp_path, "jsonl", "*.jsonl")
    texts = (corpus.texts[0].model_copy(update={"field": "body"}),)
    with pytest.raises(InputError, match=r"part-0.jsonl:1: no JSON object with a field 'body'"):
        documents(corpus.model_copy(update={"texts": texts}), sources)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A hub with Swahili Wikipedia, and an empty cache of huggingface_hub's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    stand_in = HubStandIn()
    files = {f"20231101.sw/{name}.parquet": parquet(part) for part, name in enumerate(SHARDS)}
    stand_in.push("wikimedia/wikipedia", {"README.md": b"", **files})
    set_client_factory(stand_in.client)
    yield stand_in
    set_client_factory(default_client_factory)


def test_the_hub_is_asked_for_the_files_within_the_budget_only(
    hub: HubStandIn, tmp_path: Path, sources: Sources
) -> None:
    corpus = wikipedia(tokens_per_language=2_000)
    blocks = build_blocks(corpus, word_tokenizer(), "words", 16, sources)
    read = {path.split("/")[-1] for path in hub.asked if path.startswith("GET") and "/resolve/" in path}
    assert read == {f"{ORDER[0]}.parquet"}
    in_folder(tmp_path / "data")
    local = Sources(tmp_path / "other", data_dir=tmp_path / "data", offline=True)
    copy = build_blocks(corpus, word_tokenizer(), "words", 16, local)
    assert (blocks.training("sw") == copy.training("sw")).all()


def test_a_repository_without_the_files_is_named_before_anything_is_read(
    hub: HubStandIn, sources: Sources
) -> None:
    lacking = wikipedia(("hi",)).texts[0].asset
    message = r"hub wikimedia/wikipedia/20231101.hi: has no train-\*.parquet"
    assert not check(lacking, sources).ok
    with pytest.raises(AssetError, match=message):
        CorpusReader(wikipedia(("hi",)), sources)


def test_a_part_of_a_repository_that_was_fetched_is_not_taken_for_all_of_it(
    hub: HubStandIn, sources: Sources
) -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download("wikimedia/wikipedia", f"20231101.sw/{SHARDS[0]}.parquet", repo_type="dataset")
    asset = wikipedia().texts[0].asset
    assert not check(asset, Sources(sources.cache_dir, offline=True)).ok
    for name in SHARDS[1:]:
        hf_hub_download("wikimedia/wikipedia", f"20231101.sw/{name}.parquet", repo_type="dataset")
    assert check(asset, Sources(sources.cache_dir, offline=True)).ok


class Handler(SimpleHTTPRequestHandler):
    """Says what it serves, in pieces that break off when `breaks` says so; goes on in mid-file."""

    breaks = False

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        if not self.breaks:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + 100])  # less than was promised
        self.close_connection = True


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server with CC100's Swahili file."""
    folder = tmp_path / "site" / "cc-100"
    folder.mkdir(parents=True)
    text = "\n\n".join(f"{article(0, n)}\nAya ya pili ya {n}." for n in range(500))
    (folder / "sw.txt.xz").write_bytes(lzma.compress(text.encode()))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/cc-100"
    server.shutdown()
    server.server_close()


def cc100(address: str | None = None) -> Corpus:
    """The shipped CC100 corpus, cut to Swahili; at another address (which users cannot give: it has no TLS)."""
    corpus = Corpus.model_validate({**_yaml("corpora", "cc100-xnli15"), "exclude": []})
    (text,) = (text for text in corpus.texts if text.language == "sw")
    if address is not None:
        source = WebSource.model_construct(url=address)
        asset = Asset.model_construct(**{**dict(text.asset), "sources": (source,)})
        text = text.model_copy(update={"asset": asset})
    return corpus.model_copy(update={"texts": (text,)})


def test_cc100_is_read_from_the_web_or_from_a_folder_of_the_same_name(
    site: str, tmp_path: Path, sources: Sources
) -> None:
    found = documents(cc100(site), sources)
    assert len(found) == 500
    assert found[3] == f"{article(0, 3)} Aya ya pili ya 3."
    local = Sources(sources.cache_dir, data_dir=tmp_path / "site", offline=True)
    assert documents(cc100(), local) == found


def test_a_file_that_a_web_server_lacks_is_named(site: str, sources: Sources) -> None:
    corpus = cc100(site)
    missing = corpus.texts[0].asset.model_copy(update={"include": ("tlh.txt.xz",)})
    found = check(missing, sources)
    assert not found.ok
    assert "has no tlh.txt.xz (HTTP 404)" in found.problem


def test_a_connection_that_breaks_is_taken_up_where_it_was(
    site: str, tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_at_once = documents(cc100(site), sources)
    assert (tmp_path / "site" / "cc-100" / "sw.txt.xz").stat().st_size > 5 * 100
    monkeypatch.setattr(Handler, "breaks", True)
    monkeypatch.setattr("harness.assets.web.PAUSES", (0.0,))
    assert documents(cc100(site), sources) == whole_at_once
