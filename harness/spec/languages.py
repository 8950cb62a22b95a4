"""Language sets by name. A language set fixes the distillation corpus; evaluation languages belong to the task."""

from __future__ import annotations

XNLI15 = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
"""The 15 languages of XNLI (Conneau et al., 2018)."""

LANGUAGE_SETS: dict[str, tuple[str, ...]] = {"en": ("en",), "xnli15": XNLI15}
"""Name -> ISO 639-1 codes in alphabetical order."""


def language_set_name(languages: tuple[str, ...]) -> str:
    """The name of a set, or its codes joined by `+` when it has none."""
    ordered = tuple(sorted(languages))
    return next((name for name, codes in LANGUAGE_SETS.items() if codes == ordered), "+".join(ordered))
