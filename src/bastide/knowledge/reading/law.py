"""How European laws number themselves: the headings and paragraph marks that no format marks up.

Words and habits: the Joint Handbook for the presentation and drafting of Union acts (parts C and D),
the German Handbuch der Rechtsförmlichkeit and the French guide de légistique for national laws.
"""

import re
from dataclasses import dataclass

ANNEX, PREAMBLE, PART, BOOK, TITLE, CHAPTER, SECTION, SUBSECTION, DIVISION, ARTICLE, QUOTED = range(1, 12)

_RANKS: dict[int, str] = {
    ANNEX: "annex annexe anhang anlage bijlage anexo anexă anexa allegato załącznik παράρτημα bilaga bilag liite "
    "příloha príloha melléklet приложение prilog priloga lisa pielikums priedas anness appendix schedule",
    PART: "part partie teil deel parte część μέρος partea osa část časť rész част dio del daļa dalis",
    BOOK: "book livre buch boek libro livro księga kniha könyv cartea βιβλίο knjiga",
    TITLE: "title titre titel título titolo tytuł τίτλος titlul hlava cím osasto avdelning дял glava naslov jaotis",
    CHAPTER: "chapter chapitre kapitel hoofdstuk capítulo capitolo capitolul rozdział κεφάλαιο kapitola fejezet luku "
    "глава poglavje poglavlje peatükk nodaļa skyrius kapitolu",
    SECTION: "section abschnitt afdeling sección sezione secção secțiunea oddział sekcja τμήμα avsnitt jakso oddíl "
    "oddiel szakasz раздел odjeljak oddelek jagu iedaļa skirsnis taqsima",
    SUBSECTION: "sub-section subsection sous-section unterabschnitt onderafdeling subsección sottosezione subsecção "
    "untertitel underavsnitt pododdíl paragraaf",
    DIVISION: "paragraphe unterkapitel sous-paragraphe",
    ARTICLE: "article artikel artículo articolo artigo articolul artykuł άρθρο artikla článek článok cikk член članak "
    "člen artikkel pants straipsnis artikolu airteagal art. art",
}
_RANK_OF = {word: rank for rank, words in _RANKS.items() for word in words.split()}
_WORD = "|".join(sorted((re.escape(word) for word in _RANK_OF), key=len, reverse=True))
_MORE = r"(?:\s?(?:bis|ter|quater|quinquies|sexies|septies|octies|nonies|decies)\b)*"
_NUMBER = (
    r"(?:[LRDA]\.?\s?\*{0,2}\s?\d+(?:-\d+)*"
    r"|[IVXLC]{1,8}(?:er|re)?\b|(?i:premi(?:er|ère)|preliminar|unique|único)\b"
    rf"|\d{{1,4}}(?:er|re|º|°)?(?:-\d+)*(?:\s?[a-z]\b)?{_MORE}|[A-H]\b)"
)
_PREFIXED = re.compile(rf"(?P<word>(?i:{_WORD})|§§?)\s*(?P<number>{_NUMBER})(?P<rest>.*)", re.DOTALL)
_SUFFIXED = re.compile(
    rf"(?P<number>\d{{1,4}}(?:\s?[a-zA-Z]\b)?|[IVXLC]{{1,8}})\.?\s(?P<word>(?i:{_WORD})|§|kap\.?)(?P<rest>\s.*|$)",
    re.DOTALL,
)
_BARE = re.compile(rf"(?i:{'|'.join(_RANKS[ANNEX].split())})")
_WORDS = re.compile(r"(§|[\w-]+\.?)(?:\.?\s+([\w§]+\.?))?")
_SECOND = {*_RANK_OF, "§", "kap", "kap."}
_OPENING = re.compile(r"[“„\"«‘‚]\s*")
_POINTS_ELSEWHERE = re.compile(
    r"(?i:abs(?:atz|\.)|satz|nummer|nr\.|buchstabe|unterabs|dsgvo|bdsg|lid\b|leden|punt\b|onder\b|bis\b|und\b|and\b"
    r"|paragraph|point|alinéa|al\.)"
)
_LEADERS = re.compile(r"(?:\.{3,}|…|\s\.\s\.|\t)\s*\d+\s*$")
_RECITALS = re.compile(
    r"(?i:whereas|considérant ce qui suit|in erwägung nachstehender gründe|overwegende hetgeen volgt"
    r"|considerando lo siguiente|considerando quanto segue|considerando o seguinte|a także mając na uwadze"
    r"|a mając na uwadze|întrucât|εκτιμώντας τα ακόλουθα|av följande skäl|ud fra følgende betragtninger"
    r"|sekä katsovat seuraavaa|vzhledem k těmto důvodům|mivel)\s*:?"
)
_ENACTING = re.compile(
    r"(?i:h(?:ave|as) adopted this|ont adopté|a adopté l[ea]|haben? folgende\w* .* erlassen"
    r"|hebben? de volgende .* vastgesteld|han adoptado|ha adoptado|hanno adottato|ha adottato|adotaram|adotou"
    r"|przyjmują|przyjmuje|adoptă|εξεδωσαν|εξέδωσ|härigenom föreskrivs|har vedtaget|ovat hyväksyneet|přijal"
    r"|elfogadta).{0,80}$"
)
_SIGNED = re.compile(
    r"(?i:done at|fait à|geschehen zu|gedaan te|hecho en|fatto a|feito em|sporządzono w|întocmit la|adoptat la"
    r"|έγινε|utfärdad i|udfærdiget i|tehty|v bruselu dne|kelt )\s?\S.{0,60}$"
)
_MARK = re.compile(
    r"(?P<quote>[“„«‘]\s?)?(?:\((?P<paren>\d{1,3}\s?[a-z]?|[a-zα-ω]{1,2}|[ivxl]{1,7})\)"
    r"|(?P<closed>\d{1,3}(?:\s?[a-z])?|[a-zα-ω]|[a-z]{2}|[ivxl]{1,7}|(?:\d{1,3}|[a-z])\s(?:bis|ter|quater))\)(?=\s|$)"
    r"|(?P<decimal>\d{1,3}(?:\.\d{1,3})+)\.?(?=\s)"
    rf"|(?P<stop>\d{{1,3}}(?:[a-z]\b)?{_MORE})\.(?=\s|$)"
    r"|(?P<degree>\d{1,3})°(?:\s(?:bis|ter)\b)?(?=\s|$)"
    r"|(?P<dash>[-–—•▪◦·*])(?=\s|$))\s*"
)
_ROMAN = re.compile(r"(?:x{0,3})(?:ix|iv|v?i{0,3})")


@dataclass(frozen=True, slots=True)
class Heading:
    """A legal heading: its rank, and whether its own line already tells its title."""

    rank: int
    titled: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """The number that a paragraph or point begins with."""

    number: str
    style: str
    length: int
    """Characters that the mark takes at the start of the text, following blanks included."""


def heading(line: str, *, sure: bool = False) -> Heading | None:
    """The legal heading that `line` is, if it is one.

    `sure` = the format already says that this is a heading; else the line must also look like one: short,
    not a sentence, and not a reference such as "Article 33(1) applies".
    """
    line = line.strip()
    if not line or (not sure and (len(line) > 300 or _LEADERS.search(line))):
        return None
    opening = _OPENING.match(line)
    start = opening.end() if opening else 0
    words = _WORDS.match(line, start)
    if words is None or not (words[1][0] == "§" or words[1].lower() in _RANK_OF or (words[2] or "").lower() in _SECOND):
        return None
    found = _PREFIXED.match(line, start) or _SUFFIXED.match(line, start)
    if found is None:
        return Heading(ANNEX, False) if not opening and _BARE.fullmatch(line) else None
    word, rest = found["word"], found["rest"]
    if not word[0].isupper() and word[0] != "§" and found.re is _PREFIXED:
        return None
    rank = ARTICLE if word[0] == "§" else CHAPTER if word.startswith("kap") else _RANK_OF[word.lower()]
    if not sure and not _reads_as_title(rest):
        return None
    rest = rest.strip(" \t\n.:–—-)")
    return Heading(QUOTED if opening else rank, bool(rest))


def names_rank(text: str) -> bool:
    """Whether `text` is the word for a rank, "CHAPTER", and nothing else."""
    return text.strip().casefold() in _RANK_OF


def _reads_as_title(rest: str) -> bool:
    """Whether what follows "Article 33" on its line is a title, and not the rest of a sentence."""
    if rest[:1] in {",", "(", ";", "/"} or (rest and rest[0].isalnum()):
        return False
    rest = rest.strip().lstrip(".:–—- ").strip()
    if not rest:
        return True
    if rest[-1] in ".;,:" and not rest.endswith("etc."):
        return False
    return (rest[0].isupper() or rest[0] in "(«“„\"'‘") and not _POINTS_ELSEWHERE.match(rest) and rest.count(" ") < 30


def title_line(text: str) -> bool:
    """Whether `text` can be the title that stands on its own line below "Article 33"."""
    text = text.strip()
    if not text or len(text) > 400 or "\n\n" in text or text[-1] in '.;:,!?”"':
        return False
    return text[0].isalpha() and text[0].isupper() and mark(text) is None and heading(text) is None


def opens_recitals(text: str) -> bool:
    """Whether `text` is the line before the recitals of a Union act ("Whereas:")."""
    return len(text) < 60 and _RECITALS.fullmatch(text.strip()) is not None


def opens_enactment(text: str) -> bool:
    """Whether `text` is the line that ends the recitals ("HAVE ADOPTED THIS REGULATION:")."""
    return len(text) < 140 and _ENACTING.match(text.strip()) is not None


def closes_act(text: str) -> bool:
    """Whether `text` is where an act is signed ("Done at Brussels, ...")."""
    return len(text) < 100 and _SIGNED.match(text.strip()) is not None


def mark(text: str) -> Mark | None:
    """The paragraph or point number at the start of `text`: "(1)", "2.", "a)", "1.2", "3°", or a dash."""
    found = _MARK.match(text)
    if found is None:
        return None
    kind = found.lastgroup or ""
    number = found[kind].replace(" ", "")
    if kind == "paren":
        style = f"({_sort(number)})"
    elif kind == "closed":
        style = f"{_sort(number)})"
    elif kind == "decimal":
        style = "1" + ".1" * number.count(".")
    elif kind == "dash":
        number, style = "", found[kind]
    else:
        style = "1." if kind == "stop" else "1°"
    if found["quote"]:
        style = f"“{style}"
    return Mark(number, style, found.end())


def _sort(number: str) -> str:
    if number[0].isdigit():
        return "1"
    if len(number) > 1 and number != len(number) * number[0] and _ROMAN.fullmatch(number):
        return "i"
    if number in {"ii", "iii"}:
        return "i"
    return "aa" if len(number) > 1 else "α" if number > "z" else "a"
