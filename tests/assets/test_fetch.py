"""An asset is the same content whichever source serves it, or it is not served."""

from __future__ import annotations

import hashlib
import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import catalog_teacher, packaged, sha256, tarball, wheel

from harness.assets.asset import Asset
from harness.assets.availability import check, check_all
from harness.assets.fetch import fetch, identify, ways_out
from harness.assets.package_settings import PackageSettings
from harness.assets.sources import Sources
from harness.errors import AssetError

FILES = {"config.json": b"{}", "weights.bin": b"\x00\x01"}
WHEEL = wheel({f"pkg/model/{name}": content for name, content in FILES.items()} | {"pkg/code.py": b"raise"})
Add = Callable[[str, str, bytes], None]


def asset(*sources: dict[str, object], **fields: object) -> Asset:
    return Asset.model_validate({"sources": sources, **fields})


def pypi(content: bytes = WHEEL, **fields: object) -> dict[str, object]:
    return {"pypi": "some-model==1.0", "sha256": sha256(content), "root": "pkg/model", **fields}


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_tree_hash_is_what_sha256sum_prints(tmp_path: Path, sources: Sources) -> None:
    folder = write(tmp_path / "here", {"b.txt": b"b", "a/c.txt": b"c"})
    printed = subprocess.run(
        ["sha256sum", "a/c.txt", "b.txt"], cwd=folder, capture_output=True, check=True
    ).stdout
    found = fetch(asset({"path": str(folder)}), sources)
    assert found.sha256 == hashlib.sha256(printed).hexdigest()
    assert found.files == ("a/c.txt", "b.txt")


def test_a_package_is_read_without_running_it_and_only_once(
    package_index: Add, sources: Sources, tmp_path: Path
) -> None:
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    first = fetch(asset(pypi()), sources)
    assert {name: (first.path / name).read_bytes() for name in first.files} == FILES
    (tmp_path / "index" / "some-model" / "index.html").unlink()
    again = fetch(asset(pypi()), Sources(sources.cache_dir, offline=True))
    assert again == first


def test_the_same_content_has_one_identity_from_every_source(
    package_index: Add, sources: Sources, tmp_path: Path
) -> None:
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    data_dir = tmp_path / "data"
    write(data_dir / "org" / "model")
    from_package = fetch(asset(pypi()), sources)
    from_folder = fetch(asset({"path": str(data_dir / "org" / "model")}), sources)
    from_layout = fetch(asset({"hub": "org/model"}), Sources(sources.cache_dir, data_dir=data_dir))
    assert from_package.sha256 == from_folder.sha256 == from_layout.sha256
    assert identify(asset(pypi(), sha256=from_package.sha256), sources) == from_package.sha256


@pytest.mark.parametrize("where", ["org/model", "model", "models/org/model"])
def test_the_data_folder_stands_in_for_the_hub(where: str, sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "data" / where / "sub")
    local = Sources(sources.cache_dir, data_dir=tmp_path / "data", offline=True)
    found = fetch(asset({"hub": "org/model", "root": "sub"}), local)
    assert found.path == tmp_path / "data" / where / "sub"
    assert check(asset({"hub": "org/model", "root": "sub"}), local).ok


def test_an_archive_with_another_hash_is_refused_and_leaves_nothing(
    package_index: Add, sources: Sources
) -> None:
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    wrong = pypi(b"another archive")
    with pytest.raises(AssetError, match="not the pinned"):
        fetch(asset(wrong), sources)
    kept = [path for path in sources.cache_dir.rglob("*") if path.is_file()]
    assert kept == []


def test_content_that_is_not_the_pinned_content_is_refused(
    package_index: Add, sources: Sources, tmp_path: Path
) -> None:
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    write(tmp_path / "data" / "model", {"config.json": b"changed", "weights.bin": b""})
    pinned = "0" * 64
    with pytest.raises(AssetError) as refused:
        fetch(
            asset(pypi(), {"hub": "org/model"}, sha256=pinned),
            Sources(sources.cache_dir, data_dir=tmp_path / "data"),
        )
    assert str(refused.value).count("\n") == 0
    assert "data folder" in str(refused.value)
    assert "package some-model==1.0" in str(refused.value)


def test_a_later_source_serves_where_an_earlier_one_cannot(
    package_index: Add, sources: Sources, tmp_path: Path
) -> None:
    folder = write(tmp_path / "here")
    absent = {**pypi(), "pypi": "not-there==1.0"}
    assert fetch(asset(absent, {"path": str(folder)}), sources).source == f"folder {folder}"


def test_a_source_archive_is_taken_only_where_it_is_asked_for(package_index: Add, sources: Sources) -> None:
    source = tarball(
        {"some-model-1.0/pkg/model/config.json": b"{}", "some-model-1.0/setup.py": b"raise SystemExit"}
    )
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    package_index("some-model", "some_model-1.0.tar.gz", source)
    found = fetch(asset(pypi(source, sdist=True)), sources)
    assert found.files == ("config.json",)


def test_every_pattern_must_find_a_file(tmp_path: Path, sources: Sources) -> None:
    folder = write(tmp_path / "here")
    with pytest.raises(AssetError, match=r"has no \*\.safetensors"):
        fetch(asset({"path": str(folder)}, include=["config.json", "*.safetensors"]), sources)


def test_a_missing_input_is_one_line_that_names_the_ways_out(sources: Sources) -> None:
    offline = Sources(sources.cache_dir, data_dir=sources.cache_dir, offline=True)
    answers = check_all({"a": asset({"hub": "org/model"}), "b": asset(pypi())}, offline)
    assert [answer.ok for answer in answers.values()] == [False, False]
    with pytest.raises(AssetError) as raised:
        fetch(asset({"hub": "org/model"}), offline)
    for way_out in ("--data-dir", "HARNESS_DATA", "HARNESS_CACHE", "HARNESS_OFFLINE"):
        assert way_out in str(raised.value)
    assert "--data-dir" not in ways_out([asset(pypi())], offline)
    assert "hub org/model: not asked (offline)" in answers["a"].problem
    assert "\n" not in answers["a"].problem


def test_a_changed_local_file_changes_the_identity(tmp_path: Path, sources: Sources) -> None:
    folder = write(tmp_path / "here")
    before = identify(asset({"path": str(folder)}), sources)
    assert identify(asset({"path": str(folder)}), sources) == before
    (folder / "weights.bin").write_bytes(b"\x00\x02\x03")
    assert identify(asset({"path": str(folder)}), sources) != before


def test_a_file_that_went_missing_from_the_cache_is_fetched_again(
    package_index: Add, sources: Sources
) -> None:
    package_index("some-model", "some_model-1.0-py3-none-any.whl", WHEEL)
    first = fetch(asset(pypi()), sources)
    (first.path / "config.json").unlink()
    again = fetch(asset(pypi()), sources)
    assert (again.path / "config.json").read_bytes() == FILES["config.json"]


@pytest.fixture
def npm_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A registry on this machine that serves `@scope/text@1.0.0` to whoever shows the token."""
    tarred = tarball({"package/data/a.txt": b"A sentence.", "package/index.js": b"throw 1"})

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths = {
                "/%40scope%2Ftext/1.0.0": json.dumps({"dist": {"tarball": f"{address}/text.tgz"}}).encode(),
                "/text.tgz": tarred,
            }
            content = paths.get(self.path.replace("@", "%40"))
            allowed = self.headers.get("Authorization") == "Bearer secret"
            self.send_response(200 if content and allowed else 404 if allowed else 401)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = tmp_path / "npmrc"
    settings.write_text(f"registry={address}/\n//127.0.0.1:{server.server_port}/:_authToken=${{NPM_TOKEN}}\n")
    monkeypatch.setenv("npm_config_userconfig", str(settings))
    monkeypatch.setenv("NPM_TOKEN", "secret")
    monkeypatch.delenv("npm_config_registry", raising=False)
    yield sha256(tarred)
    server.shutdown()


def test_an_npm_package_comes_from_the_configured_registry(npm_registry: str, sources: Sources) -> None:
    source: dict[str, object] = {"npm": "@scope/text@1.0.0", "sha256": npm_registry, "root": "data"}
    found = fetch(asset(source), sources)
    assert (found.path / "a.txt").read_bytes() == b"A sentence."
    with pytest.raises(AssetError, match=r"has no @scope/text@2\.0\.0"):
        fetch(asset({**source, "npm": "@scope/text@2.0.0", "sha256": "0" * 64}), sources)


def test_package_indexes_are_read_from_the_users_settings(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url = file:///b\n  https://c.example/simple\n"
    )
    settings = PackageSettings.configured({"PIP_CONFIG_FILE": str(config), "HOME": str(tmp_path)})
    assert settings.pypi[:1] == ("https://a.example/simple",)
    assert set(settings.pypi) >= {"file:///b", "https://c.example/simple"}
    by_environment = PackageSettings.configured(
        {
            "UV_DEFAULT_INDEX": "https://uv.example/simple",
            "UV_INDEX": "named=https://d.example/simple",
            "PIP_CONFIG_FILE": "/dev/null",
        }
    )
    assert by_environment.pypi == ("https://uv.example/simple", "https://d.example/simple")


def test_a_shipped_teacher_is_its_pinned_content(shared_sources: Sources) -> None:
    teacher = catalog_teacher("bert-tiny-splade")
    packaged(teacher.asset, shared_sources)
    found = fetch(teacher.asset, shared_sources)
    assert found.sha256 == teacher.asset.sha256
    assert json.loads((found.path / "config.json").read_text())["num_hidden_layers"] == teacher.shape.layers  # type: ignore[union-attr]
