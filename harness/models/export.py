"""Write a model as a folder that loads with plain `from_pretrained`: safetensors, config, tokenizer, model card."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from harness.files import sha256_of, written_beside
from harness.models.loaded import quiet_transformers

ONE_FILE = "1000GB"
"""Shard limit, so that weights are always the one file whose SHA-256 is recorded."""

CITATION = """\
@inproceedings{udagawa-etal-2023-comparative,
    title = "A Comparative Analysis of Task-Agnostic Distillation Methods
             for Compressing Transformer Language Models",
    author = "Udagawa, Takuma and Trivedi, Aashka and Merler, Michele and Bhattacharjee, Bishwaranjan",
    booktitle = "Proceedings of the 2023 Conference on Empirical Methods in Natural Language Processing:
                 Industry Track",
    year = "2023",
    publisher = "Association for Computational Linguistics",
    note = "arXiv:2310.08797",
}
"""


def export_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    mlm_head: bool,
    card: str,
    pooler: Mapping[str, Tensor] | None = None,
) -> str:
    """Write a `...ForMaskedLM` to `folder`, replacing what is there, and return the SHA-256 of model.safetensors.

    With `mlm_head=False` only the encoder is written, as `...Model`, so that an untrained head is never taken
    for a trained one. `pooler` is a shipped pooler (`LoadedModel.pooler`) that travels with its encoder. A reader sees
    the old model, the new one or none."""
    with written_beside(folder, replacing=True) as written:
        with quiet_transformers():
            _save(model, written, mlm_head, pooler or {})
            tokenizer.save_pretrained(written)
        (written / "README.md").write_text(card, encoding="utf-8")
        for path in written.iterdir():
            _flush(path)
        sha256 = sha256_of(written / "model.safetensors")
    return sha256


def exported_sha256(encoder: PreTrainedModel) -> str:
    """SHA-256 of model.safetensors as `export_model` would write it for this encoder, without a head."""
    return hashlib.sha256(safetensors.torch.save(encoder.state_dict(), {"format": "pt"})).hexdigest()


def model_card(
    name: str,
    *,
    summary: str,
    recipe: Mapping[str, object],
    provenance: Mapping[str, object],
    untrained: Sequence[str] = (),
    unseen: Sequence[str] = (),
    mlm_head: bool,
    languages: Sequence[str] = (),
    licence: str | None = None,
    tags: Sequence[str] = (),
) -> str:
    """README.md of an exported model, Markdown with the hub's YAML header.

    `recipe` is how it was trained, `provenance` from what (both shown as tables, in order); `untrained` names parts
    that no loss reached and that are still as initialised, `unseen` the inputs that training never showed."""
    usage = "AutoModelForMaskedLM" if mlm_head else "AutoModel"
    return "\n".join(
        [
            *_front_matter(languages, licence, tags, mlm_head),
            f"# {_one_line(name)}",
            "",
            summary.strip(),
            "",
            "## Use",
            "",
            "```python",
            f"from transformers import AutoTokenizer, {usage}",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
            f'model = {usage}.from_pretrained("path/to/this/folder")',
            "```",
            "",
            "## What is untrained",
            "",
            *_untrained(untrained, mlm_head),
            "",
            *_unseen(unseen),
            "## Recipe",
            "",
            *_table(recipe),
            "",
            "## Provenance",
            "",
            *_table(provenance),
            "",
            "## Citation",
            "",
            "The methods and their comparison follow:",
            "",
            "```bibtex",
            CITATION.rstrip(),
            "```",
            "",
        ]
    )


def _save(model: PreTrainedModel, folder: Path, mlm_head: bool, pooler: Mapping[str, Tensor]) -> None:
    target: Any = model if mlm_head else model.base_model
    prefix = f"{model.base_model_prefix}." if mlm_head else ""
    state = {**target.state_dict(), **{f"{prefix}pooler.{name}": value for name, value in pooler.items()}}
    target.save_pretrained(folder, state_dict=state, max_shard_size=ONE_FILE)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _front_matter(
    languages: Sequence[str], licence: str | None, tags: Sequence[str], mlm_head: bool
) -> list[str]:
    lines = ["---", "library_name: transformers"]
    lines += [f"pipeline_tag: {'fill-mask' if mlm_head else 'feature-extraction'}"]
    if licence:
        lines.append(f"license: {_one_line(licence).lower()}")
    if languages:
        lines += ["language:", *(f"- {code!r}" for code in languages)]
    lines += ["tags:", *(f"- {_one_line(tag)}" for tag in ("knowledge-distillation", *tags)), "---", ""]
    return lines


def _untrained(parts: Sequence[str], mlm_head: bool) -> list[str]:
    lines = [f"- {_one_line(part)}" for part in parts]
    if not mlm_head:
        lines.append("- No masked-LM head is included: nothing trained one.")
    return lines or ["Every parameter in this folder received gradient."]


def _unseen(inputs: Sequence[str]) -> list[str]:
    """A section of its own, where there is anything."""
    lines = [f"- {_one_line(one)}" for one in inputs]
    return ["## What it never saw", "", *lines, ""] if lines else []


def _table(rows: Mapping[str, object]) -> list[str]:
    cells = [(_one_line(key), _one_line(value)) for key, value in rows.items()]
    return ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in cells)]


def _one_line(value: object) -> str:
    """Text that can end neither a line nor a table cell."""
    return " ".join(str(value).split()).replace("|", "\\|")
