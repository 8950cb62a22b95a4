"""Which teacher layers each student layer learns from.

Parameters and static maps live here without torch (`params`, `static`, `moving`, `draw`); `dynamic` holds
what needs tensors and is imported only where something trains. Losses do not belong here: see
`harness.methods`.
"""

from harness.methods.mappings.dynamic import Attention, Emd, Greedy, Random
from harness.methods.mappings.mapping import (
    MAPPINGS,
    AnyMapping,
    DynamicMapping,
    LayerMap,
    MappingParams,
    StaticMapping,
)
from harness.methods.mappings.static import Last, LastK, Reverse, Uniform, UniformConsecutive, UniformLast

__all__ = [
    "MAPPINGS",
    "AnyMapping",
    "Attention",
    "DynamicMapping",
    "Emd",
    "Greedy",
    "Last",
    "LastK",
    "LayerMap",
    "MappingParams",
    "Random",
    "Reverse",
    "StaticMapping",
    "Uniform",
    "UniformConsecutive",
    "UniformLast",
]
