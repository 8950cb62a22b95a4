"""Mistakes in a spec: one line each, at their place, with what would be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.errors import SpecError
from harness.spec.checks import check_cells
from harness.spec.grid import expand
from harness.spec.resolve import load_spec
from tests.spec.writing import line_of, write_spec


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check_cells(load_spec(path))
    return caught.value.lines


def test_the_small_spec_is_right(tmp_path: Path) -> None:
    check_cells(load_spec(write_spec(tmp_path)))


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        (
            "warmup_steps: 1",
            "warmup_step: 1",
            "warmup_step",
            "distil: unknown key 'warmup_step'; did you mean 'warmup_steps'?",
        ),
        ("steps: 10,", "steps: ten,", "steps: ten", "distil.steps: should be a valid integer"),
        ("steps: 10,", 'steps: "10",', "steps: ", "distil.steps: should be a number, got the text '10'"),
        ("steps: 10,", "steps: true,", "steps: true", "distil.steps: should be a number, got true"),
        (
            "steps: 10,",
            "steps: -1,",
            "steps: -1",
            "distil.steps: should be greater than or equal to 0, got -1",
        ),
        (
            "steps: 10,",
            "steps: 10, input: mask,",
            "input: mask",
            "distil.input: should be 'masked' or 'clean', got 'mask'; did you mean 'masked'?",
        ),
        (
            "warmup_steps: 1",
            "warmup_steps: 11",
            "warmup_steps: 11",
            "distil: warmup_steps (11) must be at most steps (10)",
        ),
        (
            "steps: 10,",
            "steps: 10, cohort: of,",
            "cohort: of",
            "distil.cohort: should be 'auto' or 'off' or a valid integer",
        ),
        (
            "{term: logits}",
            "{term: logit}",
            "{term: logit}",
            "grid.method.1.objective.0: unknown term 'logit'; did you mean 'logits'?",
        ),
        (
            "{term: logits}",
            "{temperature: 2}",
            "{temperature: 2}",
            "grid.method.1.objective.0: the key 'term' is missing",
        ),
        (
            "{term: logits}",
            "{term: logits, temprature: 2}",
            "temprature",
            "unknown key 'temprature'; did you mean 'temperature'?",
        ),
        ("heads: 8}", "heads: 8, teacher_layer: lats}", "teacher_layer: lats", "teacher_layer"),
        ("family: OD", "family: DO", "family: DO", "grid.method.1.family: should be 'OD', 'HS', 'MHA'"),
        (
            "heads: 4}",
            "heads: 5}",
            "name: s2",
            "heads (5) must divide width (32): one of [1, 2, 4, 8, 16, 32]",
        ),
        (
            "heads: 4}",
            "heads: 4, depth: 3}",
            "depth: 3",
            "grid.student.0: unknown key 'depth'; did you mean 'width'?",
        ),
        ("  - task:", "  - taks:", "taks", "tasks.0: unknown key 'taks'; did you mean 'task'?"),
        ("[accuracy]", "[acuracy]", "acuracy", "unknown metric 'acuracy'; did you mean 'accuracy'?"),
        ("seed: [1, 2]", "sead: [1, 2]", "sead", "grid: unknown axis 'sead'; did you mean 'seed'?"),
        (
            "- {name: none, family: control}",
            "- [none]",
            "- [none]",
            "grid.method.0: should be text or a mapping, got a list of 1",
        ),
        (
            "[accuracy]",
            "accuracy",
            "metrics: accuracy",
            "tasks.0.task.metrics: should be a list, got 'accuracy'",
        ),
        ("seed: [1, 2]", "seed: 1", "seed: 1", "grid.seed: should be a list, got 1"),
        (
            "seed: [1, 2]",
            "seed: [1]\n  language: [xnli51]",
            "xnli51",
            "unknown language set 'xnli51'; did you mean 'xnli15'?",
        ),
        (
            "seed: [1, 2]",
            "seed: [1]\n  language: [[en, th]]",
            "[en, th]",
            "the corpus 'text' has no text in th; it has en",
        ),
        ("schema: 1", "schema: 2", "schema: 2", "schema: should be 1, got 2"),
        ("name: small", "name: a/b", "name: a/b", "name: should be text of the form"),
        (
            "[{path: text}]",
            "[{file: text}]",
            "file: text",
            "a source needs one of the keys hub, pypi, npm, url or path",
        ),
        (
            "[{path: text}]",
            "[{path: text, revision: main}]",
            "revision",
            "unknown key 'revision'; known: path",
        ),
        (
            "teacher:\n  name: tiny",
            "teacher:\n  nam: tiny",
            "nam: tiny",
            "teacher: unknown key 'nam'; did you mean 'name'?",
        ),
        (
            "corpus:\n  name: text",
            "corpus: 5\ncorpsu:\n  name: text",
            "corpus: 5",
            "corpus: should be text or a mapping",
        ),
        (
            "finetune: {",
            "exclude: [{seed: 9}]\nfinetune: {",
            "exclude",
            "this exclude matches no cell of the grid",
        ),
        (
            "finetune: {",
            "exclude: [{sed: 1}]\nfinetune: {",
            "exclude",
            "unknown axis 'sed'; did you mean 'seed'?",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_line(
    tmp_path: Path, old: str, new: str, at: str, expected: str
) -> None:
    path = write_spec(tmp_path, (old, new))
    lines = [line for line in mistakes(path) if expected in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}:{line_of(path, at)}:")


def test_an_exclude_may_match_nothing_of_an_axis_that_an_option_narrowed(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("finetune: {", "exclude: [{seed: 2}]\nfinetune: {"))
    narrowed = expand(load_spec(path, settings=["grid.seed=[1]"]))
    assert {cell.seed for cell in narrowed} == {1}
    with pytest.raises(SpecError, match="matches no cell"):
        expand(load_spec(path, settings=["exclude=[{seed: 9}]"]))


def test_several_mistakes_are_reported_at_once_in_order_of_place(tmp_path: Path) -> None:
    path = write_spec(
        tmp_path, ("{term: logits}", "{term: logit}"), ("steps: 10", "stesp: 10"), ("epochs: 2", "epochs: a")
    )
    lines = mistakes(path)
    assert len(lines) == 3
    assert [int(line.removeprefix(f"{path}:").split(":")[0]) for line in lines] == sorted(
        line_of(path, text) for text in ("logit}", "stesp", "epochs: a")
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("heads: 8}", "heads: 7}")], "heads: 7 relation heads must divide the width of the teacher (64)"),
        (
            [("mlm_head: true", "mlm_head: false")],
            "no trained masked-LM head to transfer from; add `prepare:`",
        ),
        ([("heads: 8}", "heads: 8, teacher_layer: 5}")], "teacher_layer"),
        (
            [("steps: 10,", "steps: 10, input: clean,")],
            "reads corrupted positions, which `distil.input: clean` does not have",
        ),
        (
            [
                ("layers: 2, width: 32", "layers: 5, width: 32"),
                ("{term: logits}", "{term: hidden_states, mapping: uniform}"),
            ],
            "the student has more layers (5) than the teacher (4)",
        ),
        (
            [("width: 32", "width: 128"), ("seed: [1, 2]", "seed: [1]\n  init: [{from: teacher}]")],
            "initialising from the teacher needs the student's width (128) to be at most the teacher's (64); "
            "`from: random` would work",
        ),
        ([("{term: logits}", "{term: cosine, mapping: last, projection: none}")], "projection"),
    ],
)
def test_a_combination_that_cannot_work_names_the_cell(
    tmp_path: Path, changes: list[tuple[str, str]], expected: str
) -> None:
    path = write_spec(tmp_path, *changes)
    lines = mistakes(path)
    assert any(expected in line for line in lines)
    assert all(line.startswith(f"{path}:") for line in lines)


def test_an_inline_field_that_cannot_work_is_reported_at_its_own_column(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("heads: 8}", "heads: 7}"))
    (line,) = mistakes(path)
    row = line_of(path, "heads: 7}")
    column = path.read_text().splitlines()[row - 1].index("7}") + 1
    assert line.startswith(f"{path}:{row}:{column}: ")


def test_the_masked_lm_head_that_prepare_gives_is_enough(tmp_path: Path) -> None:
    path = write_spec(
        tmp_path,
        ("mlm_head: true", "mlm_head: false"),
        ("finetune:", "prepare: {steps: 5, warmup_steps: 1}\nfinetune:"),
    )
    check_cells(load_spec(path))


def test_a_local_teacher_that_is_not_what_its_shape_declares_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    config = '{"model_type": "bert", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, '
    (folder / "config.json").write_text(config + '"intermediate_size": 256, "vocab_size": 1000}')
    save_file({"weight": np.zeros(1)}, folder / "model.safetensors")
    lines = mistakes(write_spec(tmp_path))
    assert any("layers is 3, declared 4" in line for line in lines)


def test_a_grid_of_a_thousand_million_cells_is_refused_with_its_count(tmp_path: Path) -> None:
    rates = ", ".join(f"{n}e-6" for n in range(1, 1001))
    seeds = ", ".join(map(str, range(1000)))
    sizes = seeds.removeprefix("0, ")
    axes = f"seed: [{seeds}]\n  distil.learning_rate: [{rates}]\n  distil.batch_size: [{sizes}]"
    path = write_spec(tmp_path, ("seed: [1, 2]", axes))
    with pytest.raises(SpecError, match="combinations"):
        expand(load_spec(path))
    path = write_spec(tmp_path, ("seed: [1, 2]", f"seed: [{seeds}]\n  distil.learning_rate: [{rates}]"))
    with pytest.raises(SpecError, match="the grid has 3,000,000 cells; at most 100,000 are accepted"):
        expand(load_spec(path))


def test_dotted_axes_make_one_recipe_for_each_combination(tmp_path: Path) -> None:
    axes = "seed: [1]\n  distil.learning_rate: [1e-4, 2e-4]\n  distil.batch_size: [8, 16]"
    cells = expand(load_spec(write_spec(tmp_path, ("seed: [1, 2]", axes))))
    found = {(cell.recipe.learning_rate, cell.recipe.batch_size) for cell in cells}
    assert found == {(1e-4, 8), (1e-4, 16), (2e-4, 8), (2e-4, 16)}
    assert {cell.recipe.steps for cell in cells} == {10}


def test_an_axis_value_that_makes_no_recipe_is_reported_at_the_axis(tmp_path: Path) -> None:
    path = write_spec(
        tmp_path, ("seed: [1, 2]", "seed: [1]\n  distil.steps: [0, 10]\n  distil.warmup_steps: [1, 20]")
    )
    assert mistakes(path) == [
        f"{path}:{line_of(path, 'distil.steps')}:17: distil with {{'steps': 10, 'warmup_steps': 20}}: "
        "warmup_steps (20) must be at most steps (10)"
    ]


def test_exclude_drops_the_named_combinations_only(tmp_path: Path) -> None:
    path = write_spec(tmp_path, ("finetune: {", "exclude: [{method: [od, rel], seed: 2}]\nfinetune: {"))
    cells = expand(load_spec(path))
    assert sorted((cell.method.entry.name, cell.seed) for cell in cells) == [
        ("none", 1),
        ("none", 2),
        ("od", 1),
        ("rel", 1),
    ]


STREAMED = ("  name: text\n", "  name: text\n  streaming: true\n")


def test_text_that_is_streamed_must_exclude_every_task(tmp_path: Path) -> None:
    path = write_spec(tmp_path, STREAMED)
    (line,) = mistakes(path)
    assert line.startswith(f"{path}:{line_of(path, 'name: text')}:")
    assert "the corpus 'text' is streamed" in line
    assert line.endswith("add pairs to its `exclude`, or `exclude_overlap: true` to the spec")


@pytest.mark.parametrize(
    ("reader", "source", "expected"),
    [
        (
            "udhr",
            "path: text",
            "the reader 'udhr' cannot stream; `streaming: true` reads lines, paragraphs, jsonl,",
        ),
        ("parquet", 'url: "https://example.org/text"', "files at a web address must be text or JSON lines"),
    ],
)
def test_what_cannot_be_streamed_is_named(tmp_path: Path, reader: str, source: str, expected: str) -> None:
    text = (
        "language: en, asset: {sources: [{path: text}]",
        f"language: en, reader: {reader}, asset: {{sources: [{{{source}}}]",
    )
    (line,) = mistakes(write_spec(tmp_path, STREAMED, text))
    assert expected in line


def test_files_of_the_web_are_streamed_only(tmp_path: Path) -> None:
    text = ("{path: text}", '{url: "https://example.org/text"}')
    (line,) = mistakes(write_spec(tmp_path, text))
    assert "files at a web address can only be streamed; add `streaming: true`" in line


def test_an_unknown_reader_is_named_with_the_near_one(tmp_path: Path) -> None:
    (line,) = mistakes(write_spec(tmp_path, ("language: en, asset", "language: en, reader: linez, asset")))
    assert line.endswith("corpus.texts.0.reader: unknown reader 'linez'; did you mean 'lines'?")


def test_every_reader_that_ships_is_known_to_specs() -> None:
    from harness.formats import documents as readers
    from harness.spec.entries import READERS

    assert set(READERS) <= set(readers.READERS)
    assert {"lines", "paragraphs", "jsonl", "parquet"} <= set(READERS)


def test_one_file_cannot_stand_for_several_languages(tmp_path: Path) -> None:
    several = ("      metrics: [accuracy]", "      metrics: [accuracy]\n      languages: [en, de]")
    (line,) = mistakes(write_spec(tmp_path, several))
    assert "split 'dev' would read 'dev.jsonl' in each of en, de" in line
    assert "write {language} in place of the code" in line


@pytest.mark.parametrize(
    ("init", "student", "told"),
    [
        ("layers: random", "width: 128, heads: 4", "at most the teacher's (64); `from: random` would work"),
        ("layers: last", "width: 32, heads: 8", "heads: 2 or 4 would work, and `layers: random` takes any"),
        ("layers: last", "width: 32, heads: 1", "heads: 2 or 4 would work, and `layers: random` takes any"),
        ("layers: last", "width: 32, heads: 4, ffn: 512", "ffn (512) to be at most the teacher's (256)"),
        ("layers: [1, 9]", "width: 32, heads: 4", "`layers` names 9, the teacher has 4; 1 to 4 would work"),
    ],
)
def test_a_start_that_the_teacher_cannot_give_is_refused_at_its_place(
    tmp_path: Path, init: str, student: str, told: str
) -> None:
    path = write_spec(
        tmp_path,
        ("width: 32, heads: 4", student),
        ("seed: [1, 2]", f"seed: [1]\n  init:\n    - {{from: random}}\n    - {{from: teacher, {init}}}"),
        ("    - {name: rel, family: MHA, objective: [{term: relations, heads: 8}]}\n", ""),
        ("    - {name: none, family: control}\n", ""),
    )
    [line] = mistakes(path)
    assert line.startswith(f"{path}:{line_of(path, 'from: teacher')}:7: ")
    assert told in line
