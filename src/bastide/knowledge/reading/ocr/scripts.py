"""Scripts: which languages are written in them, and from which figures on a page in them is relied on. Data only.

The figures were measured: 105 degraded pages in seven languages, and the benchmark `reading` since. Confidence alone
is no gate: Tesseract leaves out lines that it cannot cut into words, and is sure of the rest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One script as Tesseract's orientation and script detection names it, and its thresholds."""

    languages: tuple[str, ...]
    """ISO 639-1, the frequent ones first; the first `together` of those installed are tried in one run."""
    together: int = 8
    accepted_confidence: float = 85.0
    provisional_confidence: float = 75.0
    accepted_coverage: float = 0.95
    provisional_coverage: float = 0.90


_LATIN = "en fr de es it nl pl pt ro cs sv hu da fi sk hr lt sl lv et ga mt no tr ca eu gl is sq bs"
SCRIPTS: dict[str, Script] = {
    "Latin": Script(
        tuple(_LATIN.split()),
    ),
    "Greek": Script(("el",)),
    "Cyrillic": Script(("bg", "uk", "ru", "sr", "mk"), together=3),
    "Arabic": Script(("ar",)),
    "Hebrew": Script(("he",)),
}

OTHER = Script(())
"""A script that we have no row for: read with what there is, and held to the same figures."""

FILES: dict[str, str] = {
    "ar": "ara",
    "bg": "bul",
    "bs": "bos",
    "ca": "cat",
    "cs": "ces",
    "da": "dan",
    "de": "deu",
    "el": "ell",
    "en": "eng",
    "es": "spa",
    "et": "est",
    "eu": "eus",
    "fi": "fin",
    "fr": "fra",
    "ga": "gle",
    "gl": "glg",
    "he": "heb",
    "hr": "hrv",
    "hu": "hun",
    "is": "isl",
    "it": "ita",
    "lt": "lit",
    "lv": "lav",
    "mk": "mkd",
    "mt": "mlt",
    "nl": "nld",
    "no": "nor",
    "pl": "pol",
    "pt": "por",
    "ro": "ron",
    "ru": "rus",
    "sk": "slk",
    "sl": "slv",
    "sq": "sqi",
    "sr": "srp",
    "sv": "swe",
    "tr": "tur",
    "uk": "ukr",
}
"""ISO 639-1 -> name of Tesseract's language file."""

NEEDED = ("en", "fr", "de", "es", "it", "nl", "pl", "el")
"""Languages whose absence is told; the others are used where their files are."""


_RANGES = (
    ("Greek", "\u0370", "\u03ff"),
    ("Greek", "\u1f00", "\u1fff"),
    ("Cyrillic", "\u0400", "\u052f"),
    ("Hebrew", "\u0590", "\u05ff"),
    ("Arabic", "\u0600", "\u06ff"),
)


def scripts_in(text: str) -> dict[str, float]:
    """The share of each script among the letters of a text, the largest first."""
    found: dict[str, int] = {}
    for letter in filter(str.isalpha, text):
        script = next((name for name, first, last in _RANGES if first <= letter <= last), "Latin")
        found[script] = found.get(script, 0) + 1
    total = sum(found.values())
    return {script: count / total for script, count in sorted(found.items(), key=lambda one: -one[1])}


def script_of(language: str) -> str:
    """The script that a language is written in; "" where there is no row for it."""
    return next((name for name, script in SCRIPTS.items() if language in script.languages), "")
