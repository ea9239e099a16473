"""Citing: where a text points to: "Article 17(1)", "§ 823 Abs. 1 BGB", "Directive 95/46/EC". Pure.

What looks like a number of an act but is an account, a telephone number or a date is no citation: an act is named by
its kind (regulation, directive, law) or by the abbreviation of a German law behind a section sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACE = r"(?:[LRDA]\.?\s?\*?\s?)?\d{1,5}[a-z]?(?:[-.]\d{1,4})*(?![\w/])"
_BEHIND = (
    r"(?:\s?\(\s?\w{1,4}\s?\))+"
    r"|(?:,?\s(?:Abs(?:atz|\.)?|S(?:atz|\.)?|Nr\.?|Nummer|Buchst(?:abe|\.)?|lit\.?|UAbs\.?|paragraphs?"
    r"|para\.?|points?|alinéas?"
    r"|al\.|paragraphe|point|apartado|letra|párrafo|paragrafo|comma|lettera|lid|onder|punt|leden|ust\.?|pkt|lit)\s?"
    r"\(?[\w]{1,4}\)?(?![\w]))+"
)
_UPTO = (
    r"(?:\s?[-–—]\s?(?=\d)|\s(?:to|through|until|bis(?:\seinschließlich)?|à|au|a|al|hasta|fino a(?:ll['’])?"
    r"|tot en met|tot|t/m"
    r"|do)\s)"
    r"(?:Article\s|Artikel\s|art\.\s|§\s?)?(?P<last>\d{1,5})(?![\w/.,]?\d)"
)
_ACT = (
    r"(?:(?:Implementing |Delegated |Council |Durchführungs|Delegierte |Délégué |de ejecución |d'exécution )?"
    r"(?P<kind>Regulations?|[Dd]irectives?|Decisions?|Verordnung(?:en)?|Richtlinien?"
    r"|Beschluss|Entscheidung|[Rr]èglements?|Décisions?"
    r"|Reglamentos?|Directivas?|Decisión|Regolament[oi]|Direttiv[ae]|Decisione|Verordening(?:en)?|Richtlijn(?:en)?|Besluit"
    r"|Rozporządzeni[ea]|Dyrektyw[ayę]|Decyzj[ai])"
    r"(?:\s(?:Delegated|Implementing|délégué|d'exécution|delegado|delegato|wykonawcze|delegowane))?"
    r"\s?(?P<union>\((?:EU|EC|EEC|EG|EWG|UE|CE|CEE|WE|EWR|GASP|CFSP|Euratom)[^)]{0,12}\))?\s?"
    r"(?:No\.?|Nr\.?|n[°ºo]\.?|nr)?\s?"
    r"(?P<number>\d{1,4}/\d{1,4}(?:/(?:EU|EC|EEC|EG|EWG|UE|CE|CEE|WE|JHA|JI|Euratom))?)(?![\w/]))"
)
_NATIONAL = (
    r"(?:(?P<law>loi|décret|ordonnance|arrêté|ley(?: orgánica)?|real decreto|decreto|legge|decreto legislativo"
    r"|d\.?\s?lgs\.?"
    r"|ustaw[ayę]|wet)\s(?:n[°ºo]\.?\s?|nr\.?\s?|n\.\s?)?(?P<lawnumber>\d{1,4}[-/]\d{1,5}(?:-\d+)?))"
)
_GERMAN = r"(?P<abbreviation>[A-ZÄÖÜ][A-Za-zÄÖÜäöü]{0,8}(?:G|GB|O|V|VO|StPO|AO|GG|ZPO)(?:\s[IVX]{1,4})?)(?!\w)"
_KNOWN_ACTS = (
    r"(?P<known>GDPR|DSGVO|DS-GVO|RGPD|AVG|RODO|AI Act|KI-Verordnung|AI-verordening"
    r"|BGB|StGB|HGB|GG|ZPO|StPO|BDSG|SGB\s[IVX]{1,4}"
    r"|Code civil|Code pénal|Código Civil|Codice civile|Burgerlijk Wetboek|Kodeksu? cywiln\w+)(?!\w)"
)
_OF = (
    r"(?:,?\s(?:of|des|der|du|de la|de l['’]|de|del|della|dello|dell['’]|van de|van|van het|zum|ustawy"
    r"|rozporządzenia)\s?"
    r"(?:the\s|said\s)?)?\s?"
)
_CITED = re.compile(
    rf"(?<![\w])(?:(?P<word>Articles?|Art(?:ikel(?:en)?|\.)?|art(?:icles?|ikel(?:en)?|icolo|icoli|ykuł\w*|ículos?|\.)"
    rf"|Artículos?|Articol[oi]"
    rf"|Artyku\w+|§§?|Section|Sektion|Rule)\s?(?:(?:da|du|de|od|van)\s)?(?P<place>{_PLACE})"
    rf"(?:{_UPTO})?(?P<behind>{_BEHIND})?(?:{_OF}(?:{_KNOWN_ACTS}|{_ACT}"
    rf"|{_NATIONAL}|(?<=\s){_GERMAN}))?)"
)
_ACT_ALONE = re.compile(rf"(?<!\w){_ACT}")
_ACT_TITLE = re.compile(rf"(?<!\w){_ACT}", re.IGNORECASE)
_NATIONAL_ALONE = re.compile(rf"(?<!\w){_NATIONAL}", re.IGNORECASE)
_DIGIT = re.compile(r"\d")  # every place and every number of an act has one
_BLANKS = re.compile(r"[\s.*]")
_PLURAL = re.compile(r"§§|articles|artikelen|artículos|articoli|artykuł(?:y|ów|ach|ami)|art\.", re.IGNORECASE)
_JOINED = re.compile(r"(\d{1,5})-(\d{1,5})")
_CALLED_SHORT = re.compile(r"\((?:[^()]*[\s–-])?([A-ZÄÖÜ][A-Za-zÄÖÜäöü]{0,8}(?:G|GB|O|V|VO))\)")

RANGE_MAX = 40
"""So many places a range may have; a longer one is its first place only."""

# What people call an act, and its number.
_CALLED = {
    "gdpr": "2016/679", "dsgvo": "2016/679", "ds-gvo": "2016/679", "rgpd": "2016/679", "avg": "2016/679",
    "rodo": "2016/679", "ai act": "2024/1689", "ki-verordnung": "2024/1689", "ai-verordening": "2024/1689",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cited:
    """`text[start:end]` points to `place` ("article 17", "" for a whole act) of `act`, whose plain form is "act ...".

    `act` is "" for this document; `act_at` is where the act itself is named, `detail` what stands behind the place.
    """

    start: int
    end: int
    place: str
    detail: str
    act: str
    act_at: tuple[int, int] | None


def cited(text: str) -> list[Cited]:
    """The citations in a text, in order, none within another."""
    found: list[Cited] = []
    if _DIGIT.search(text) is None:
        return found
    for match in _CITED.finditer(text):
        act, span = _act(match)
        detail = (match["behind"] or "").strip()
        found += [Cited(match.start(), match.end(), place, detail, act, span) for place in _places(match)]
    taken = [(one.start, one.end) for one in found]
    for pattern in (_ACT_ALONE, _NATIONAL_ALONE):
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, end in taken):
                act = _number(match)
                found.append(Cited(match.start(), match.end(), "", "", act, (match.start(), match.end())))
                taken.append((match.start(), match.end()))
    return sorted(found, key=lambda one: one.start)


def act_in(title: str, *, at_once: bool = False) -> str:
    """The act that a title names, in its plain form; "" where it names none. `at_once`: only at its very beginning."""
    match = _ACT_TITLE.match(title.lstrip()) if at_once else _ACT_TITLE.search(title[:160])
    if match:
        return _number(match)
    short = None if at_once else _CALLED_SHORT.search(title[:240])  # "E-Government-Gesetz (EGovG)"
    return f"act {short[1].casefold()}" if short else ""


def _places(match: re.Match[str]) -> list[str]:
    """Each place of a range ("Articles 12 to 14", "§§ 3-5"); the one that is named where it is none."""
    first, last = match["place"], match["last"]
    if not last and _PLURAL.match(match["word"]) and (joined := _JOINED.fullmatch(first)):
        first, last = joined[1], joined[2]
    if not last or not first.isdigit() or not 0 < int(last) - int(first) <= RANGE_MAX:
        return [_place(match)]
    word = match["word"].casefold()
    kind = word if word in {"section", "rule"} else "article"
    return [f"{kind} {number}" for number in range(int(first), int(last) + 1)]


def _place(match: re.Match[str]) -> str:
    number = match["place"]
    bare = _BLANKS.sub("", number) if number[0].isalpha() else number.rstrip(".")
    word = match["word"].casefold()
    return f"{word if word in {'section', 'rule'} else 'article'} {bare.casefold()}"


def _act(match: re.Match[str]) -> tuple[str, tuple[int, int] | None]:
    if match["known"]:
        name = " ".join(match["known"].split()).casefold()
        return f"act {_CALLED.get(name, name)}", match.span("known")
    if match["number"]:
        return _number(match), (match.start("kind"), match.end())
    if match["lawnumber"]:
        return _number(match), (match.start("law"), match.end("lawnumber"))
    if match["abbreviation"]:
        return f"act {' '.join(match['abbreviation'].split()).casefold()}", match.span("abbreviation")
    return "", None


def _number(match: re.Match[str]) -> str:
    found = match.groupdict()
    if found.get("number"):
        return f"act {re.sub(r'/[A-Za-z]+$', '', found['number'])}"
    return f"act {found['lawnumber']}"
