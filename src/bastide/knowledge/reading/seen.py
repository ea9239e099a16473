"""Seen or unseen: which elements of a page a reader would never see. What is hidden from people can carry orders to
a language model, so it is left out, and the number of such places is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

_END = r"\s*(?:!important\s*)?(?:;|$)"
_SMALL = r"(?:0+(?:\.0+)?[a-z%]*|0?\.0\d*(?:em|rem)|(?:[01]?\.\d+|[01])(?:px|pt))"
# A page may be made to cost: no pattern here looks ahead without a bound, or again for what it did not find.
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all"
    rf"|font-size\s*:\s*{_SMALL}{_END}|opacity\s*:\s*0?(?:\.0\d*)?{_END}"
    r"|(?<![\w-])color\s*:\s*(?:transparent|rgba\([^)]{0,80},\s*0?(?:\.0+)?\s*\))"
    r"|clip-path\s*:\s*inset\(\s*(?:50|100)%|clip\s*:\s*rect\(\s*0"
    r"|(?:text-indent|left|top|right|margin-left|margin-top)\s*:\s*-\d{4,}",
    re.IGNORECASE,
)
_CLIPPED = re.compile(r"overflow\s*:\s*hidden", re.IGNORECASE)
_FLAT = re.compile(rf"(?<![\w-])(?:max-)?(?:height|width)\s*:\s*0(?:px)?{_END}", re.IGNORECASE)
_WHITE = re.compile(r"(?<![\w-])color\s*:\s*(?:#f{3}(?:f{3})?\b|white\b|rgb\(\s*255\s*,\s*255\s*,\s*255\s*\))", re.I)
_BACKGROUND = re.compile(r"background(?:-color|-image)?\s*:", re.IGNORECASE)
_AT = re.compile(r"@[\w-]+")
_OPENS_OR_ENDS = re.compile("[{};]")
_SIMPLE = re.compile(r"(?:[a-zA-Z][\w-]*)?(?:[.#][\w-]+)")
_STYLE_MAX = 500_000
_SELECTORS_MAX, _DECLARATIONS_MAX = 2_000, 4_000


@dataclass(slots=True)
class Sight:
    """What a page's own styles say about what is seen, and how many places they hide."""

    styled: bool = False
    """Whether the page has a style sheet: then a background may come from there, and white may be legible."""
    selectors: frozenset[str] = frozenset()
    """Classes and ids, such as ".note", "p.note" or "#end", whose elements are not shown."""
    backgrounds: list[etree._Element] = field(default_factory=list)
    """Open elements that have a background of their own."""
    unseen: int = 0

    @classmethod
    def of(cls, root: etree._Element) -> "Sight":
        """Looks at the style sheets within a page; those elsewhere are not fetched."""
        sheets = [_without_comments("".join(map(str, s.itertext())))[:_STYLE_MAX] for s in root.iter("style")]
        linked = any("stylesheet" in (link.get("rel") or "").lower() for link in root.iter("link"))
        selectors = frozenset(selector for sheet in sheets for selector in _hiding_selectors(sheet))
        return cls(bool(sheets) or linked, selectors)

    def hides(self, element: etree._Element) -> bool:
        """Whether an element and all that stands in it is not shown."""
        style = element.get("style") or ""
        hidden = (
            element.get("hidden") is not None
            or (bool(style) and _hiding(style))
            or (bool(self.selectors) and self._selected(element))
            or (not self.styled and self._white(element, style))
        )
        if hidden:
            self.unseen += bool("".join(map(str, element.itertext())).strip())
        elif _BACKGROUND.search(style) or element.get("bgcolor") or element.get("background"):
            self.backgrounds.append(element)
        return hidden

    def leave(self, element: etree._Element) -> None:
        """The end of an element."""
        if self.backgrounds and self.backgrounds[-1] is element:
            self.backgrounds.pop()

    def _white(self, element: etree._Element, style: str) -> bool:
        """White words on the white page."""
        color = (element.get("color") or "").strip().lower() if element.tag == "font" else ""
        white = _WHITE.search(style) is not None or color in {"white", "#fff", "#ffffff"}
        return white and not self.backgrounds and _BACKGROUND.search(style) is None and not element.get("bgcolor")

    def _selected(self, element: etree._Element) -> bool:
        tag = str(element.tag)
        names = [f".{name}" for name in (element.get("class") or "").split()]
        if own := element.get("id"):
            names.append(f"#{own}")
        return any(name in self.selectors or f"{tag}{name}" in self.selectors for name in names)

    def tell(self, problems: list[str]) -> None:
        """Says how many places were left out."""
        if self.unseen:
            problems.append(f"{self.unseen} hidden passages were left out; they can carry hidden instructions")


def _hiding(declarations: str) -> bool:
    clipped = _CLIPPED.search(declarations) is not None and _FLAT.search(declarations) is not None
    return clipped or _HIDING.search(declarations) is not None


def _hiding_selectors(sheet: str) -> Iterator[str]:
    """The plain selectors of the rules that hide; what a rule for print or small screens hides is seen elsewhere."""
    for rule in _without_media(sheet).split("}")[:-1]:
        before, _, declarations = rule.rpartition("{")
        selectors = before.rpartition("{")[2][-_SELECTORS_MAX:]
        if selectors and len(declarations) <= _DECLARATIONS_MAX and _hiding(declarations):
            for selector in selectors.split(","):
                if _SIMPLE.fullmatch(selector.strip()) is not None:
                    yield selector.strip()


def _without_comments(sheet: str) -> str:
    out: list[str] = []
    at = 0
    while (begins := sheet.find("/*", at)) >= 0 and (ends := sheet.find("*/", begins + 2)) >= 0:
        out.append(sheet[at:begins])
        at = ends + 2
    return "".join([*out, sheet[at:]])


def _without_media(sheet: str) -> str:
    """A style sheet without its blocks for certain media."""
    out: list[str] = []
    at = 0
    while (rule := _AT.search(sheet, at)) is not None and (found := _OPENS_OR_ENDS.search(sheet, rule.end())):
        if found[0] != "{":  # it has no block, and neither has any other that begins before this place
            out.append(sheet[at : found.end()])
            at = found.end()
            continue
        out.append(sheet[at : rule.start()])
        depth, end = 1, found.end()
        while end < len(sheet) and depth:
            depth += (sheet[end] == "{") - (sheet[end] == "}")
            end += 1
        at = end
    out.append(sheet[at:])
    return "".join(out)
