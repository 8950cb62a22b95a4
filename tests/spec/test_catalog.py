"""Names to entries: where they are looked for, and what the message about a wrong name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assets.asset import LocalSource
from harness.errors import InputError, SpecError
from harness.spec.catalog import Catalog, shipped_specs
from harness.spec.entries import CatalogEntry, Method, entry_kinds
from harness.spec.resolve import load_spec
from tests.spec.writing import line_of, write_spec

METHOD = "schema: 1\nname: {name}\nfamily: control\nsummary: {summary}\n"


def write_method(folder: Path, name: str, summary: str = "mine") -> Path:
    path = folder / "methods" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD.format(name=name, summary=summary))
    return path


def test_catalog_folders_come_before_the_specs_own_and_that_before_the_shipped(tmp_path: Path) -> None:
    write_method(tmp_path / "given", "od", "given")
    write_method(tmp_path / "beside", "od", "beside")
    write_method(tmp_path / "beside", "mine", "beside")
    catalog = Catalog([tmp_path / "given"], beside=tmp_path / "beside")
    assert catalog.get("methods", "od", Method)[1].summary == "given"
    assert catalog.get("methods", "mine", Method)[1].summary == "beside"
    assert catalog.get("methods", "minilmv2", Method)[1].family == "MHA"


def test_an_unknown_name_is_reported_at_its_line_with_the_nearest(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("- {name: none, family: control}", "- minilmv3"))
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    at = f"{path}:{line_of(path, 'minilmv3')}:7"
    (line,) = caught.value.lines
    assert line.startswith(f"{at}: unknown method 'minilmv3'; did you mean 'minilmv2'? (--catalog DIR adds ")


@pytest.mark.parametrize(("kind", "model"), entry_kinds().items())
def test_an_unknown_name_of_any_kind_says_where_own_ones_go(kind: str, model: type[CatalogEntry]) -> None:
    with pytest.raises(
        InputError, match=rf"unknown .* 'nonesuch'; .* \(--catalog DIR adds {kind} of your own\)"
    ):
        Catalog().get(kind, "nonesuch", model)


def test_a_path_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    write_method(tmp_path / "own", "special")
    path = write_spec(tmp_path, ("- {name: none, family: control}", "- ./own/methods/special.yaml"))
    assert load_spec(path).methods[0].entry.name == "special"
    path = write_spec(tmp_path, ("- {name: none, family: control}", "- ./own/other.yaml"))
    with pytest.raises(SpecError, match=r"no method file './own/other.yaml'"):
        load_spec(path)


def test_a_mistake_in_a_named_file_is_reported_in_that_file(tmp_path: Path) -> None:
    file = write_method(tmp_path, "broken")
    file.write_text(file.read_text().replace("family: control", "family: controls"))
    path = write_spec(tmp_path, ("- {name: none, family: control}", "- broken"))
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    (line,) = caught.value.lines
    assert "methods/broken.yaml:3:9: family: should be " in line
    assert line.endswith("did you mean 'control'?")


def test_a_files_name_and_its_entrys_name_agree(tmp_path: Path) -> None:
    write_method(tmp_path, "right").rename(tmp_path / "methods" / "other.yaml")
    with pytest.raises(SpecError, match="the name 'right' differs from the file's; call it 'other'"):
        Catalog([tmp_path]).get("methods", "other", Method)


def test_a_name_never_leaves_the_catalog(tmp_path: Path) -> None:
    write_method(tmp_path, "inside")
    with pytest.raises(InputError, match="unknown method"):
        Catalog([tmp_path]).get("methods", "..", Method)


def test_local_sources_are_made_absolute_from_their_own_file(tmp_path: Path) -> None:
    resolved = load_spec(write_spec(tmp_path))
    (source,) = resolved.teachers["en"][0].root.entry.asset.sources
    assert source == LocalSource(path=str(tmp_path.resolve() / "teacher"))


def test_a_name_may_stand_in_an_axis_once(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("{name: od, family", "{name: none, family"))
    with pytest.raises(SpecError, match="'none' is named twice"):
        load_spec(path)


def test_a_corpus_or_teacher_for_each_language_set_names_the_set_that_lacks_one(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("corpus:\n  name", "corpus:\n  de:\n   name"), ("  texts: [", "   texts: ["))
    with pytest.raises(SpecError, match="nothing for the language set 'en'; "):
        load_spec(path)


@pytest.mark.parametrize("kind", sorted(entry_kinds()))
def test_every_shipped_entry_is_right(kind: str) -> None:
    catalog = Catalog()
    entries = list(catalog.entries(kind, entry_kinds()[kind]))
    assert entries
    assert all(entry.summary for entry in entries)
    assert (shipped_specs() / kind).is_dir()


@pytest.mark.parametrize(
    "path", sorted((shipped_specs() / "paper").glob("*.yaml")), ids=lambda path: path.stem
)
def test_specs_of_published_size_fine_tune_with_several_seeds(path: Path) -> None:
    resolved = load_spec(path)
    assert resolved.tasks
    assert all(len(one.finetune.seeds) >= 2 for one in resolved.tasks)
