"""A layer mapping drawn as text: teacher layers across, student layers down, a dot for each pair."""

from __future__ import annotations

from harness.methods.mappings.mapping import LayerMap, MappingParams, StaticMapping

PAIR, NOTHING = "●", "·"


def draw(layer_map: LayerMap, teacher_layers: int, student_layers: int) -> str:
    """φ for these depths, several lines without a trailing newline.

    Layer 0, the embedding output, is shown where it is paired. A student layer without a pair is marked.
    """
    paired = {0 for i, layers in layer_map.items() if i == 0 or 0 in layers}
    columns = range(0 if paired else 1, teacher_layers + 1)
    rows = range(0 if 0 in layer_map else 1, student_layers + 1)
    width = len(str(teacher_layers))
    margin = len("student ") + len(str(student_layers))
    lines = [f"{'teacher':>{margin}}  " + " ".join(f"{j:>{width}}" for j in columns)]
    for i in rows:
        layers = layer_map.get(i, ())
        cells = " ".join(f"{PAIR if j in layers else NOTHING:>{width}}" for j in columns)
        note = "" if layers else "  no teacher layer"
        lines.append(f"{'student' if i == rows[0] else '':<8}{i:>{margin - 8}}  {cells}{note}")
    return "\n".join(lines)


def picture(mapping: MappingParams, teacher_layers: int, student_layers: int) -> str:
    """`draw` for a static mapping; for a dynamic one, its rule and how often it is applied."""
    if isinstance(mapping, StaticMapping):
        return draw(mapping.layers(teacher_layers, student_layers), teacher_layers, student_layers)
    every = getattr(mapping, "every", None)
    renewed = "for every example" if every is None else f"every {every} steps" if every > 1 else "every step"
    return (
        f"student layers 1–{student_layers} and teacher layers 1–{teacher_layers}, "
        f"weights re-computed {renewed}:\n"
        f"{mapping.formula()}"
    )
