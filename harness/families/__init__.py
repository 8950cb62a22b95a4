"""Families of Transformer encoders: what tells one family's models from another's.

A family says how its config.json spells a model's size, which tensors are its masked-LM head, and where layers, query,
key and value maps and the head stand inside transformers' model. Adding one takes a module here and a line below, or a
package that offers an instance of `EncoderFamily` under the entry point `harness.families`. Nothing here imports torch:
sizes are read when specs are validated. What is done with a model of any family belongs to `harness.models`.

family        the base class and what it returns
bert          bert
roberta       roberta and xlm-roberta
distilbert    distilbert
modernbert    modernbert
camembert     camembert
electra       electra
mpnet         mpnet
"""

from harness.families.bert import Bert
from harness.families.camembert import CamemBert
from harness.families.distilbert import DistilBert
from harness.families.electra import Electra
from harness.families.family import (
    FAMILIES,
    AttentionType,
    EncoderFamily,
    HeadTensors,
    LayerInputs,
    LayerParts,
    MapRows,
    Projections,
    SizeKeys,
    SplitHead,
    family_of,
)
from harness.families.modernbert import ModernBert
from harness.families.mpnet import MpNet
from harness.families.roberta import Roberta

FAMILIES.register("bert", Bert())
FAMILIES.register("roberta", Roberta())
FAMILIES.register("xlm-roberta", Roberta())
FAMILIES.register("distilbert", DistilBert())
FAMILIES.register("modernbert", ModernBert())
FAMILIES.register("camembert", CamemBert())
FAMILIES.register("electra", Electra())
FAMILIES.register("mpnet", MpNet())
FAMILIES.load_entry_points("harness.families")

__all__ = [
    "FAMILIES",
    "AttentionType",
    "Bert",
    "CamemBert",
    "DistilBert",
    "Electra",
    "EncoderFamily",
    "HeadTensors",
    "LayerInputs",
    "LayerParts",
    "MapRows",
    "ModernBert",
    "MpNet",
    "Projections",
    "Roberta",
    "SizeKeys",
    "SplitHead",
    "family_of",
]
