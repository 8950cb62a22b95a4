"""Languages by their English names."""

from __future__ import annotations

from harness.spec.languages import LANGUAGE_SETS

NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian",
    "mr": "Marathi", "ms": "Malay", "my": "Burmese", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "yo": "Yoruba", "zh": "Chinese",
}  # fmt: skip
"""ISO 639-1 code -> name."""


def language_name(code: str) -> str:
    """`Swahili`; the code itself where its name is not known."""
    return NAMES.get(code, code)


def languages_in_words(language_set: str) -> str:
    """`English`, `English and German`, `15 languages (xnli15)`: what a language set of a spec holds."""
    codes = LANGUAGE_SETS.get(language_set) or tuple(language_set.split("+"))
    if len(codes) > 3:
        return f"{len(codes)} languages ({language_set})"
    *first, last = map(language_name, codes)
    return f"{', '.join(first)} and {last}" if first else last
