"""Layer mappings: which teacher layers each student layer learns from.

`mapping` is what all share, `static` holds those that are fixed before training, `dynamic` the parameters of those
whose weights change; `draw` prints a map. These import no torch. `dynamic_weights` computes the changing weights and is
imported only where something trains. Losses belong to `harness.methods.losses`.
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
