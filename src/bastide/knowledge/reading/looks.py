"""Looks: headings that only their type betrays.

A heading stands alone, is short, and is larger or bolder than the text. A style (size and weight) is judged by all the
paragraphs that are set in it:
  1. the title page names the document, not a section
  2. labels such as "Note" come back again and again in a style of their own: they are no headings
  3. a term is bold like a heading, but the text that explains it is set in below it
  4. lines that end with page numbers which only grow are a table of contents
  5. styles become levels by their size, the sixth and all below it the sixth
  6. "Chapter 2" above a title is one heading with it
  7. "Table 3." names a table, however large it is set
"""

import re
from collections import Counter, defaultdict
from itertools import pairwise
from statistics import mode

from bastide.knowledge.reading import law
from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.paragraphs import Paragraph
from bastide.knowledge.reading.printed import Line

_CAPTION = re.compile(
    r"(?i:tab(?:le|elle|leau|la|ella|ela|el|ell|ulka|uľka|lica|ula|\.)|taulukko|lentelė|preglednica|πίνακας|таблица|listing)"
    r"\s\d+(?:[.-]\d+)*\s?(?:[.:–—-]|$|\s\w)"
)
_LEADERS = re.compile(r"(?:\.\s?){4,}|…\s*\d*$|(?:\s\.){2,}\s*\d+$")
_NUMBERED = re.compile(r"(?:\d{1,3}|[A-Z]|[IVX]{1,6})(?:\.\d{1,3}){0,5}[.)]?\s+\S")
_SECTION_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,3})+\.?\s+\S")
_CHARACTERS_MAX = 200
_LEVELS_MAX = 6
_LARGER = 1.12
_HARDLY_SMALLER = 0.85
_TITLED_FROM = 8
"""Pages of a document that may have a title page."""
_TITLE_PAGE_MAX = 1_200
"""Characters of a page beyond which it is no title page."""
_PAGE_AT_END = re.compile(r"(?<=[\s.…])(\d{1,4})$")
_NUMBER_ALONE = re.compile(r"\w{1,12}")
_CONTENTS_LEAST = 5
_SET_IN_TYPE = 5
"""Headings that type tells, from which on words alone ("Chapter 3. If you ...") make none."""
_TERMS_SHARE = 0.5
_LABEL_TIMES = 3
_LABEL_SHARE = 0.6
_LABEL_MAX = 24

Look = tuple[float, bool]
"""(size, bold)."""
_PLAIN: Look = (0.0, False)
_Text = tuple[Paragraph, Block]


def by_looks(texts: list[_Text], body: float) -> None:
    """Makes headings of the blocks that stand out as headings do."""
    looks = [_look(paragraph, block, body) for paragraph, block in texts]
    _title_page(texts, looks, body)
    _labels(texts, looks, body)
    _terms(texts, looks, body)
    _contents(texts, looks)
    levels = _levels({look for look in looks if look[0]})
    for (_, block), look in zip(texts, looks, strict=True):
        if look[0]:
            block.kind, block.level, block.source = "heading", levels[look], "font"
            block.confidence = 0.9 if look[0] >= _LARGER * body else 0.75
    _join_names([block for _, block in texts])
    if sum(bool(look[0]) for look in looks) >= _SET_IN_TYPE:
        for (paragraph, block), look in zip(texts, looks, strict=True):
            block.plain = block.plain or not (look[0] or any(line.heads for line in paragraph.lines))


def _look(paragraph: Paragraph, block: Block, body: float) -> Look:
    """The look of a paragraph that stands out as a heading does; that of others is plain."""
    first = paragraph.lines[0]
    short = len(paragraph.lines) <= 3 and len(block.text) <= _CHARACTERS_MAX
    letters = sum(map(str.isalpha, block.text)) + bool(_SECTION_NUMBER.match(block.text))  # one letter parts an index
    if block.kind != "paragraph" or not short or letters < 2 or _points_on(block, paragraph.lines[-1]):
        return _PLAIN
    if _CAPTION.match(block.text):
        return _PLAIN
    bold = all(line.bold() for line in paragraph.lines)
    if first.size >= _LARGER * body:
        return first.size, bold
    ended = block.text[-1] in ",;:" or (block.text[-1] == "." and not _SECTION_NUMBER.match(block.text))
    stands_out = bold and first.size >= _HARDLY_SMALLER * body and not ended
    return (first.size, True) if stands_out else _PLAIN


def _points_on(block: Block, last: Line) -> bool:
    """Whether this is an entry of a table of contents: it ends with leaders, or with a number far to the right."""
    if _LEADERS.search(block.text):
        return True
    apart = len(last.words) > 1 and last.words[-1].left - last.words[-2].right > 1.5 * last.size
    return apart and last.word_text(len(last.words) - 1).isdecimal()


def _title_page(texts: list[_Text], looks: list[Look], body: float) -> None:
    """1: a first page of few words, the largest of which stand out, names the document and its makers."""
    first = texts[0][1].page if texts else None
    front = [at for at, (_, block) in enumerate(texts) if block.page == first]
    pages = {block.page for _, block in texts}
    written = [len(texts[at][1].text) for at in front]
    largest = max((looks[at] for at in front), default=_PLAIN)
    long = sum(written) > _TITLE_PAGE_MAX or max(written, default=0) > _CHARACTERS_MAX
    if len(pages) < _TITLED_FROM or long or largest[0] < 1.3 * body:
        return
    for at in front:
        if law.heading(texts[at][1].text) is None and not texts[at][1].text[:1].isdigit():
            looks[at] = _PLAIN


def _labels(texts: list[_Text], looks: list[Look], body: float) -> None:
    """2: a style most of whose words come back, and no numbers before them, is one of labels."""
    said: dict[Look, Counter[str]] = defaultdict(Counter)
    for (_, block), look in zip(texts, looks, strict=True):
        said[look][_words(block)] += 1
    said.pop(_PLAIN, None)
    for look, words in said.items():
        back = {
            text: times
            for text, times in words.items()
            if times >= _LABEL_TIMES and not _NUMBERED.match(text) and not law.names_rank(text)
        }
        if sum(back.values()) < _LABEL_SHARE * words.total():  # of other styles only short words in the text's size
            weak = look[0] < _LARGER * body
            back = {text: n for text, n in back.items() if weak and n >= 2 * _LABEL_TIMES and len(text) <= _LABEL_MAX}
        for at, (_, block) in enumerate(texts):
            if looks[at] == look and _words(block) in back:
                looks[at] = _PLAIN


def _words(block: Block) -> str:
    return block.text.strip(" :.!").casefold()


def _terms(texts: list[_Text], looks: list[Look], body: float) -> None:
    """3: a term is explained by text that is set in below it, further than text usually is."""
    lefts = [round(block.boxes[0].left) for _, block in texts if len(block.text) > _CHARACTERS_MAX and block.boxes]
    usual = mode(lefts) if lefts else 0
    terms: dict[Look, list[int]] = defaultdict(list)
    for at, ((paragraph, block), (_, below)) in enumerate(pairwise(texts)):
        if looks[at][0] >= _LARGER * body or not looks[at][0] or _NUMBERED.match(block.text) or not below.boxes:
            continue
        if law.mark(below.text) is not None:  # points of a list are set in below what heads them
            continue
        em = paragraph.lines[0].size
        set_in = below.boxes[0].left - block.boxes[0].left >= 0.8 * em and below.boxes[0].left - usual >= 0.8 * em
        if set_in and looks[at + 1] == _PLAIN and below.kind != "code":
            terms[looks[at]].append(at)
    for look, places in terms.items():
        alike = sum(one == look and not _NUMBERED.match(texts[at][1].text) for at, one in enumerate(looks))
        if len(places) >= _TERMS_SHARE * alike:
            for at in places:
                looks[at] = _PLAIN


def _contents(texts: list[_Text], looks: list[Look]) -> None:
    """4: a run of short paragraphs with page numbers that only grow, chapters' names included; and what names it."""
    runs: list[list[int]] = [[]]
    last = 0
    for at, (_, block) in enumerate(texts):
        found = _PAGE_AT_END.search(block.text)
        page = int(found[1]) if found is not None and len(block.text) <= _CHARACTERS_MAX else -1
        if runs[-1] and page < last:
            runs.append([])
            last = 0
        if page >= last:
            runs[-1].append(at)
            last = page
    runs = [run for run in runs if len(run) >= _CONTENTS_LEAST]
    listed = {_PAGE_AT_END.sub("", texts[at][1].text).strip(" .…").casefold() for run in runs for at in run}
    for run in runs:
        above = texts[run[0] - 1][1] if run[0] else None
        if above is not None and above.text.strip().casefold() not in listed and not _NUMBERED.match(above.text):
            looks[run[0] - 1] = _PLAIN  # "Contents"; a chapter that begins with its own is listed before
        for one in run:
            looks[one], texts[one][1].plain = _PLAIN, True


def _levels(found: set[Look]) -> dict[Look, int]:
    """5: the level of each style; sizes that hardly differ are one."""
    levels: dict[Look, int] = {}
    level, before = 0, _PLAIN
    for look in sorted(found, reverse=True):
        alike = before[1] == look[1] and before[0] - look[0] < 0.03 * before[0]
        level += not alike
        before = before if alike else look
        levels[look] = min(level, _LEVELS_MAX)
    return levels


def _join_names(blocks: list[Block]) -> None:
    """6: "Chapter 2" and the heading below it become one; what is joined to another leaves no text behind."""
    headings = [block for block in blocks if block.kind == "heading"]
    for block, below, further in zip(headings, headings[1:], [*headings[2:], None], strict=False):
        if block.page != below.page or not block.text or law.heading(below.text) is not None:
            continue
        if law.names_rank(block.text):  # "Chapter", its number and its title, each by itself
            _join(block, below)
            if further is not None and further.page == block.page and _NUMBER_ALONE.fullmatch(below.title):
                _join(block, further)
            below.title = ""
        else:
            named = law.heading(block.text, sure=True)
            if named is not None and not named.titled:
                _join(block, below)


def _join(block: Block, below: Block) -> None:
    block.title = f"{block.title or ' '.join(block.text.split())} {' '.join(below.text.split())}"
    block.text = f"{block.text}\n{below.text}"
    block.level = min(block.level, below.level)
    block.boxes = (block.boxes[0].around(below.boxes[0]), *below.boxes[1:])
    below.title, below.text = below.text, ""
