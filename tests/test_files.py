"""Content is known by its bytes, wherever it lies and whatever its dates say."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.assets.archives import matching
from harness.files import FileHashes, expanded, files_below, sha256_of


@pytest.mark.parametrize("how", ["in place", "by another file"])
def test_a_file_replaced_with_the_same_size_and_date_is_noticed(how: str, tmp_path: Path) -> None:
    path, hashes = tmp_path / "rows.jsonl", FileHashes(tmp_path / "memory")
    seen = set()
    for content in (b"first edition", b"other edition", b"third edition"):
        target = path if how == "in place" else tmp_path / "new"
        target.write_bytes(content)
        os.utime(target, (1_700_000_000, 1_700_000_000))
        os.replace(target, path)
        time.sleep(0.05)  # so that the hash is remembered
        assert hashes.of(path) == hashes.of(path) == sha256_of(path)
        seen.add(hashes.of(path))
    assert len(seen) == 3
    assert list((tmp_path / "memory").iterdir())


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    path, hashes = tmp_path / "rows", FileHashes(tmp_path / "memory")
    for content in (b"one", b"two", b"six"):
        path.write_bytes(content)
        assert hashes.of(path) == sha256_of(path)


def test_links_to_files_and_folders_are_followed_and_never_in_circles(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "a.txt").write_text("a")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "real")
    (folder / "b.txt").symlink_to(tmp_path / "real" / "deep" / "a.txt")
    (folder / "gone.txt").symlink_to(tmp_path / "nowhere")
    (folder / "round").symlink_to(folder)
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (folder / ".hidden").write_text("")
    found = files_below(folder)
    assert {"b.txt", "linked/deep/a.txt"} <= set(found)
    assert not {"gone.txt", ".hidden"} & set(found)
    assert len(found) < 20


@pytest.mark.parametrize("name", ["part[1].txt", "[ab].txt", "x[!a].txt"])
def test_the_name_of_a_file_is_that_file_before_it_is_a_pattern(name: str) -> None:
    names = [name, "part1.txt", "a.txt", "xb.txt"]
    assert matching(names, [name]) == (name,)
    assert matching(names[1:], ["[ab].txt"]) == ("a.txt",)


def test_only_a_leading_home_is_expanded() -> None:
    assert expanded("~/data") == Path.home() / "data"
    assert expanded("~nobody/data") == Path("~nobody/data")
    assert expanded("data~") == Path("data~")
