"""YAML text to data with places; hostile text is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError, SpecError
from harness.spec.yaml.overrides import override
from harness.spec.yaml.source import MAX_BYTES, MAX_NODES, Document, parse, read


def parsed(text: str) -> Document:
    return parse(text, "x.yaml", Path())


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parsed(text)
    (line,) = caught.value.lines
    return line


def test_numbers_are_those_of_yaml_1_2_and_words_stay_words() -> None:
    text = "[1e-4, 0x10, 0o17, 1_000, -3, .5, on, no, true, null, ~, '1', 2026-01-01, 1:30]"
    assert parsed(text).data == [
        1e-4, 16, 15, 1000, -3, 0.5, "on", "no", True, None, None, "1", "2026-01-01", "1:30",
    ]  # fmt: skip


def test_every_node_remembers_its_line_and_column() -> None:
    document = parsed("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n")
    assert str(document.value_mark(("a", "b"))) == "x.yaml:2:6"
    assert str(document.key_mark(("a", "b"))) == "x.yaml:2:3"
    assert str(document.value_mark(("a", "c", 1, "d"))) == "x.yaml:5:11"
    assert str(document.value_mark(("a", "c", 7, "nothing"))) == "x.yaml:4:5"  # the list, the nearest above


def test_an_alias_is_the_same_value_and_keeps_the_place_where_it_is_written() -> None:
    document = parsed("a: &x {b: 1}\nc: *x\n")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.value_mark(("c", "b")).line == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: the key 'a' stands here a second time (first: x.yaml:1:1)"),
        ("a: !!python/object/apply:os.system [id]", "x.yaml:1:4: the tag"),
        ("a: !custom 1", "x.yaml:1:4: the tag '!custom'"),
        ("a: .inf", "x.yaml:1:4: .inf is not a finite number"),
        ("a: 1e999", "x.yaml:1:4: 1e999 is not a finite number"),
        (f"a: {'9' * 5000}", "x.yaml:1:4: a number of 5000 characters"),
        ("a: *b", "x.yaml:1:4: the alias *b names no anchor above it"),
        ("&a [*a]", "x.yaml:1:5: the alias *a names no anchor above it"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document"),
        ("? [a]\n: 1", "x.yaml:1:3: a key must be plain text"),
        ("a: [1", "x.yaml:1:6: not YAML"),
        ("trust_remote_code: true", "x.yaml:1:1: `trust_remote_code` is never allowed"),
        ("", "x.yaml:1:1: the file is empty"),
        ("# only a comment", "x.yaml:1:1: the file is empty"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(text: str, expected: str) -> None:
    assert refusal(text).startswith(expected)


def test_an_alias_bomb_is_refused_with_its_count() -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]")
    line = refusal("\n".join(lines))
    assert f"at most {MAX_NODES:,} are accepted" in line
    assert line.startswith("x.yaml:4:")


def test_deep_nesting_is_refused_without_recursion() -> None:
    assert "nested" in refusal("[" * 50_000)
    assert "nested" in refusal("\n".join(" " * depth + "a:" for depth in range(100)))


def test_a_file_that_is_too_large_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"a: " + b"x" * MAX_BYTES)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    for path, expected in [
        (large, "bytes; at most"),
        (binary, "is not UTF-8 text"),
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(SpecError, match=expected):
            read(path)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_data_or_one_line(text: str) -> None:
    lines = _lines_of_refusal(text)
    assert all("\n" not in line for line in lines)
    assert len(lines) <= 1


def _lines_of_refusal(text: str) -> list[str]:
    try:
        parsed(text)
    except SpecError as error:
        return error.lines
    return []


def test_set_replaces_one_value_and_its_mistakes_name_the_option() -> None:
    document = parsed("a: {b: 1}\nc: [1, {d: 2}]\ngrid: {x: [1]}\n")
    changed = override(
        document, ["a.b=2e-3", "c.1.d=[x]", "new.key=true", "grid.distil.steps=[1, 2]", "c.0=null"]
    )
    assert changed.data == {
        "a": {"b": 2e-3},
        "c": [None, {"d": ["x"]}],
        "new": {"key": True},
        "grid": {"x": [1], "distil.steps": [1, 2]},
    }
    assert str(changed.value_mark(("a", "b"))) == "--set a.b"
    assert str(changed.value_mark(("c", 1, "d", 0))) == "--set c.1.d"
    assert document.data["a"] == {"b": 1}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("a.b", "--set a.b: should read dotted.path=value"),
        ("c.5=1", "--set c.5: '5' is no position of a list of 1"),
        ("a.b.x=1", "--set a.b.x: a.b is 1, which has no 'x' inside"),
        ("a=[", "--set a: '\\['"),
    ],
)
def test_set_says_what_is_wrong_with_it(setting: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        override(parsed("a: {b: 1}\nc: [1]\n"), [setting])


WRITTEN = "grid:\n  method:\n    - od\n    - {name: mine, objective: []}\nteacher: {name: own, shape: 3}\n"


@pytest.mark.parametrize(
    ("given", "at", "stands"),
    [
        (["grid.method=[mine]"], ("grid", "method"), [{"name": "mine", "objective": []}]),
        (["grid.method=[hs, mine]"], ("grid", "method"), ["hs", {"name": "mine", "objective": []}]),
        (["grid.method=[od]", "grid.method=[mine]"], ("grid", "method", 0, "name"), "mine"),
        (["grid.method.0=mine"], ("grid", "method", 0, "objective"), []),
        (["teacher=own"], ("teacher", "shape"), 3),
        (["teacher=other"], ("teacher",), "other"),
        (["grid.student=[mine]"], ("grid", "student"), ["mine"]),
        (["grid.method=[{name: mine, objective: [1]}]"], ("grid", "method", 0, "objective"), [1]),
    ],
)
def test_a_name_on_the_command_line_is_the_entry_that_the_file_writes_out_there(
    given: list[str], at: tuple[str | int, ...], stands: object
) -> None:
    found = override(parsed(WRITTEN), given).data
    for step in at:
        found = found[step]
    assert found == stands


def test_a_mistake_in_an_entry_that_is_named_on_the_command_line_is_told_at_its_line() -> None:
    document = override(parsed(WRITTEN), ["grid.method=[hs, mine]"])
    assert str(document.value_mark(("grid", "method", 1, "objective"))) == "x.yaml:4:31"
    assert str(document.value_mark(("grid", "method", 0))) == "--set grid.method"
