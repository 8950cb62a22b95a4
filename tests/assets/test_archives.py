"""Archives are not trusted: what they may do is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from samples import tarball, wheel

from harness.assets.archives import Limits, extract, matching
from harness.assets.problems import UnavailableError


def written(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "into"
    folder.mkdir(parents=True)
    return folder


def test_only_the_named_files_below_the_root_are_taken(tmp_path: Path, into: Path) -> None:
    files = {
        "pkg/model/a.txt": b"a",
        "pkg/model/sub/b.txt": b"b",
        "pkg/run.py": b"x",
        "pkg/modelling/c.txt": b"c",
    }
    archive = tmp_path / "a.whl"
    archive.write_bytes(wheel(files))
    assert extract(archive, into, ("*.txt",), root="pkg/model") == ("a.txt", "sub/b.txt")
    assert written(into) == {"a.txt": b"a", "sub/b.txt": b"b"}


def test_a_source_archive_loses_its_first_folder(tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tarball({"name-1.0/data/x.jsonl": b"{}", "name-1.0/setup.py": b"raise"}))
    assert extract(archive, into, ("*.jsonl",), root="data", strip=1) == ("x.jsonl",)


def test_an_archive_within_an_archive_is_read(tmp_path: Path, into: Path) -> None:
    inner = tarball({"study/ratings.txt": b"1\t2\n", "study/paper.pdf": b"%"})
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tarball({"name-1.0/extra/study.tar.gz": inner}))
    names = extract(archive, into, ("*/ratings.txt",), root="extra", strip=1, nested="study.tar.gz")
    assert names == ("study/ratings.txt",)
    assert written(into) == {"study/ratings.txt": b"1\t2\n"}


@pytest.mark.parametrize(
    "name", ["../../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\..\\evil.txt", "C:\\evil.txt"]
)
@pytest.mark.parametrize("make", [wheel, tarball])
def test_no_path_leaves_the_folder(name: str, make, tmp_path: Path, into: Path) -> None:  # type: ignore[no-untyped-def]
    archive = tmp_path / "archive"
    archive.write_bytes(make({name: b"evil"}))
    with pytest.raises(UnavailableError, match="leaves its folder"):
        extract(archive, into, ("*",))
    assert not list(tmp_path.rglob("evil*"))


def test_links_are_refused(tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tarball({"x.txt": b"x"}, links={"out.txt": "/etc/passwd"}))
    with pytest.raises(UnavailableError, match="is a link"):
        extract(archive, into, ("*.txt",))


def test_writing_through_a_linked_folder_is_refused(tmp_path: Path, into: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tarball({"door/x.txt": b"x"}, links={"door": str(outside)}))
    with pytest.raises(UnavailableError, match="is a link"):
        extract(archive, into, ("*",))
    assert not list(outside.iterdir())


def test_a_file_larger_than_allowed_stops_while_it_is_unpacked(tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "bomb.whl"
    archive.write_bytes(wheel({"zeros.txt": bytes(5_000_000)}))
    assert archive.stat().st_size < 10_000
    with pytest.raises(UnavailableError, match=r"passes the limit of 1,000,000 bytes"):
        extract(archive, into, ("*",), limits=Limits(member=1_000_000))


def test_many_files_are_bounded_together(tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "many.whl"
    archive.write_bytes(wheel({f"{n}.txt": bytes(1000) for n in range(20)}))
    with pytest.raises(UnavailableError, match="passes the limit"):
        extract(archive, into, ("*",), limits=Limits(total=10_000))
    with pytest.raises(UnavailableError, match="more than 10 entries"):
        extract(archive, into, ("*",), limits=Limits(members=10))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not an archive", id="no archive"),
        pytest.param(gzip.compress(b"no tar"), id="gzip of no tar"),
        pytest.param(wheel({"a": b"b" * 999})[:-30], id="cut wheel"),
    ],
)
def test_a_damaged_archive_is_named_not_a_crash(content: bytes, tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "damaged.whl"
    archive.write_bytes(content)
    with pytest.raises(UnavailableError, match=r"damaged\.whl cannot be read"):
        extract(archive, into, ("*",))


def test_patterns_cross_folders_as_the_hub_does() -> None:
    assert matching(["a.txt", "b/c.txt", "d.py"], ("*.txt",)) == ("a.txt", "b/c.txt")
