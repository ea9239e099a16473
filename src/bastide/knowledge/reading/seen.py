"""Seen or unseen: which elements of a page a reader would never see. What is hidden from people can carry orders to
a language model, so it is left out, and the number of such places is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

_END = r"\s*(?:!important\s*)?(?:;|$)"
_SMALL = r"(?:0+(?:\.0+)?[a-z%]*|0?\.0\d*(?:em|rem)|(?:[01]?\.\d+|[01])(?:px|pt))"
_FLAT = r"(?<![\w-])(?:max-)?(?:height|width)\s*:\s*0(?:px)?"
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all"
    rf"|font-size\s*:\s*{_SMALL}{_END}|opacity\s*:\s*0?(?:\.0\d*)?{_END}"
    r"|(?<![\w-])color\s*:\s*(?:transparent|rgba\([^)]*,\s*0?(?:\.0+)?\s*\))"
    r"|clip-path\s*:\s*inset\(\s*(?:50|100)%|clip\s*:\s*rect\(\s*0"
    r"|(?:text-indent|left|top|right|margin-left|margin-top)\s*:\s*-\d{4,}"
    rf"|{_FLAT}\s*;[^\"]*overflow\s*:\s*hidden|overflow\s*:\s*hidden\s*;[^\"]*{_FLAT}{_END}",
    re.IGNORECASE,
)
_WHITE = re.compile(r"(?<![\w-])color\s*:\s*(?:#f{3}(?:f{3})?\b|white\b|rgb\(\s*255\s*,\s*255\s*,\s*255\s*\))", re.I)
_BACKGROUND = re.compile(r"background(?:-color|-image)?\s*:", re.IGNORECASE)
_RULE = re.compile(r"([^{}]{1,2000})\{([^{}]{0,4000})\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_MEDIA = re.compile(r"@[\w-]+[^{};]*\{")
_SIMPLE = re.compile(r"(?:[a-zA-Z][\w-]*)?(?:[.#][\w-]+)")
_STYLE_MAX = 500_000


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
        sheets = [_COMMENT.sub("", "".join(map(str, s.itertext())))[:_STYLE_MAX] for s in root.iter("style")]
        linked = any("stylesheet" in (link.get("rel") or "").lower() for link in root.iter("link"))
        selectors = frozenset(selector for sheet in sheets for selector in _hiding_selectors(sheet))
        return cls(bool(sheets) or linked, selectors)

    def hides(self, element: etree._Element) -> bool:
        """Whether an element and all that stands in it is not shown."""
        style = element.get("style") or ""
        hidden = (
            element.get("hidden") is not None
            or (bool(style) and _HIDING.search(style) is not None)
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


def _hiding_selectors(sheet: str) -> Iterator[str]:
    """The plain selectors of the rules that hide; what a rule for print or small screens hides is seen elsewhere."""
    for selectors, declarations in _RULE.findall(_without_media(sheet)):
        if _HIDING.search(declarations) is not None:
            for selector in selectors.split(","):
                if _SIMPLE.fullmatch(selector.strip()) is not None:
                    yield selector.strip()


def _without_media(sheet: str) -> str:
    """A style sheet without its blocks for certain media."""
    out: list[str] = []
    at = 0
    while (found := _MEDIA.search(sheet, at)) is not None:
        out.append(sheet[at : found.start()])
        depth, end = 1, found.end()
        while end < len(sheet) and depth:
            depth += (sheet[end] == "{") - (sheet[end] == "}")
            end += 1
        at = end
    out.append(sheet[at:])
    return "".join(out)
