"""Colours of families, the same in the terminal and on the pages."""

COLOURS = {
    "OD": "#d97706",
    "HS": "#3b82f6",
    "MHA": "#0d9f6e",
    "composite": "#a855f7",
    "control": "#8b95a1",
    "external": "#e0559a",
    "teacher": "#78716c",
}
"""Family -> colour, of like weight on white and on black, and told apart by the colour-blind (with the shapes)."""
