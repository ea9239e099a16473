"""Tiers 2 and 3: vision models are asked for what tesseract could not read, and believed only where it can be checked.

    1. a doubtful value is shown to the general model: what two of three readers say holds
    2. a line that failed, or the whole page, is shown to one tier after the other; the guard judges each answer
    3. an answer that nothing contradicts and too little confirms is shown to a second model, where there is one
    4. an amount, date or number that only one reader has read is a doubt
Nothing here knows a model or a place: the room hands in how to ask, and only where its policy allows it. An answer may
come later (None): then the page stays as tesseract read it, and is read again when the answer is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from bastide.errors import BastideError
from bastide.knowledge.reading.ocr.first import First, Shown
from bastide.knowledge.reading.ocr.invention import TWO_AGREE, alike, judged
from bastide.knowledge.reading.ocr.rereading import broken_account, broken_accounts, is_value, same
from bastide.knowledge.reading.ocr.values import Hints, Line, Picture, Seen, Task, Vision, Word

PLAIN = (
    "Write down exactly the text in this picture, line by line, in its own language. Do not correct, translate, "
    "complete or explain anything. Write [?] for what you cannot read. If there is no text, answer with nothing."
)
SPECIAL: dict[str, str] = {
    "tables": PLAIN + " It holds a table: write each row on a line of its own, its cells parted by a tab.",
    "handwriting": PLAIN + " It is written by hand.",
    "scripts": PLAIN + " It is not in Latin letters: keep its own letters and accents.",
    "": PLAIN,
}
"""What a model is told, by what the page is."""
VALUE = (
    "Write down exactly the number, amount, date or identifier in this picture, character by character, and nothing "
    "else. Answer with nothing if you cannot read it."
)
_TIMES_TOLD = 3
"""Reasons of one kind that are told of one page."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of asking."""

    lines: tuple[Line, ...]
    doubts: tuple[str, ...] = ()
    tier: str = ""
    """vision or special; "" where nothing that was answered stands on the page."""
    engine: str = ""
    relied: bool = False
    """Whether everything on it could be checked."""
    reasons: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tier:
    name: str
    vision: Vision
    task: Task
    silent: bool = False
    """Whether it was refused once: it is not asked again for this page."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """An answer that is used."""

    seen: Seen
    tier: str
    proven: bool


@dataclass(slots=True)
class _Asking:
    """One page while it is asked about."""

    tiers: list[_Tier]
    reasons: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    def seen(self, tier: _Tier, picture: Picture, task: Task) -> Seen | None:
        """What a tier says; None where it says nothing, or not yet."""
        if tier.silent:
            return None
        try:
            seen = tier.vision(picture, task)
        except BastideError as error:
            tier.silent = True
            self.reasons.append(f"{tier.name}: {error.message}")
            return None
        if seen is not None and seen.receipt:
            self.receipts.append(seen.receipt)
        return seen

    def resolved(self, shown: Shown, own: Sequence[Line]) -> _Taken | None:
        """The first answer that is proven, one that two models give, else one that nothing contradicts."""
        open_: _Taken | None = None
        what = "" if shown.extent.whole else " for one line"
        for tier in self.tiers:
            seen = self.seen(tier, shown.picture, tier.task)
            if seen is None and not tier.silent:
                return None  # the answer comes later
            if seen is None:
                continue
            verdict = judged(own, seen.text, shown.extent)
            if verdict.refused:
                self.reasons.append(f"{tier.name}: {seen.engine} was refused{what}: {verdict.refused}")
                continue
            if verdict.proven:
                return _Taken(seen, tier.name, True)
            if (
                open_ is not None
                and open_.seen.engine != seen.engine
                and alike(open_.seen.text, seen.text) >= TWO_AGREE
            ):
                self.reasons.append(f"{tier.name}: {seen.engine} reads the same{what}")
                return replace(open_, proven=True)
            open_ = open_ or _Taken(seen, tier.name, False)
        if open_ is not None:
            self.reasons.append(f"{open_.tier}: too little was certain to check {open_.seen.engine}{what}")
        return open_

    def told(self) -> tuple[str, ...]:
        """The reasons, each once, and of each kind a few."""
        out: list[str] = []
        for reason in dict.fromkeys(self.reasons):
            kind = reason.partition(":")[0]
            if sum(other.startswith(f"{kind}:") for other in out) < _TIMES_TOLD:
                out.append(reason)
        return tuple(out)


def ask(first: First, hints: Hints) -> Answered:
    """Steps 1 to 4: the page with what the tiers above read of it, as far as that is believed."""
    asking = _Asking(_tiers(first, hints))
    lines, doubts = _values(first, asking, hints)
    if first.whole is not None:
        return _whole(first, first.whole, asking)
    if first.crops:
        return _crops(first, lines, doubts, asking)
    told = tuple(doubts[at] for at in sorted(doubts))
    return Answered(lines, told, reasons=asking.told(), receipts=tuple(dict.fromkeys(asking.receipts)))


def _tiers(first: First, hints: Hints) -> list[_Tier]:
    """In their order: the specialised model first where the page calls for it, else the general one."""
    tiers: list[_Tier] = []
    if hints.vision is not None:
        tiers.append(_Tier("vision", hints.vision, Task(SPECIAL[first.special])))
    if hints.special is not None:
        special = _Tier("special", hints.special, Task(SPECIAL[first.special], first.special or "second"))
        tiers.insert(0 if first.special else len(tiers), special)
    return tiers


def _values(first: First, asking: _Asking, hints: Hints) -> tuple[tuple[Line, ...], dict[tuple[int, int], str]]:
    """The lines with each doubtful value as two of three readers have it, and the doubts that are left."""
    lines = list(first.lines)
    doubts = {(doubt.line, doubt.word): doubt.told for doubt in first.doubts}
    if hints.vision is None:
        return tuple(lines), doubts
    tier = _Tier("vision", hints.vision, Task(VALUE))
    settled = 0
    for doubt, picture in first.values:
        if (seen := asking.seen(tier, picture, tier.task)) is None:
            continue
        agreed = next((text for text in (doubt.first, doubt.second) if same(text, seen.text)), "")
        if not agreed:
            told = " ".join(seen.text.split())[:40] or "nothing"
            doubts[doubt.line, doubt.word] = f"{doubt.told[:-1]}; {seen.engine}: {told})"
            continue
        words = list(lines[doubt.line].words)
        words[doubt.word] = replace(words[doubt.word], text=agreed, doubtful=False)
        lines[doubt.line] = replace(lines[doubt.line], words=tuple(words))
        del doubts[doubt.line, doubt.word]
        settled += 1
    if settled:
        asking.reasons.append(f"vision: {settled} doubtful values were read as one of the two readings has them")
    return tuple(lines), doubts


def _whole(first: First, shown: Shown, asking: _Asking) -> Answered:
    """The whole page is shown; the lines of the answer stand where the ink has as many, else where the page is."""
    taken = asking.resolved(shown, first.lines)
    receipts = tuple(dict.fromkeys(asking.receipts))
    if taken is None:
        return Answered(first.lines, tuple(d.told for d in first.doubts), reasons=asking.told(), receipts=receipts)
    rows = [(row, part) for part, text in enumerate(taken.seen.text.split("\n\n")) for row in text.splitlines()]
    rows = [(row, part) for row, part in rows if row.strip()]
    places = shown.extent.rows()
    if len(places) != len(rows):
        places = [shown.place] * len(rows)
    lines = [
        Line(tuple(Word(word, place, -1.0) for word in row.split()), place, paragraph=part)
        for (row, part), place in zip(rows, places, strict=True)
    ]
    known = [word.text for line in first.lines for word in line.words]
    checked = [_checked(at, line, known) for at, line in enumerate(lines)]
    return Answered(
        tuple(line for line, _ in checked),
        tuple(doubt for _, doubts in checked for doubt in doubts),
        taken.tier,
        taken.seen.engine,
        taken.proven,
        asking.told(),
        receipts,
    )


def _crops(first: First, lines: tuple[Line, ...], doubts: dict[tuple[int, int], str], asking: _Asking) -> Answered:
    """Only the lines that failed and the ink that no line covers are shown; the rest stays as tesseract read it."""
    replaced: dict[int, tuple[Line, list[str]]] = {}
    added: list[tuple[Line, list[str]]] = []
    taken: list[_Taken] = []
    for shown in first.crops:
        own = [lines[shown.line]] if shown.line >= 0 else []
        answer = asking.resolved(shown, own)
        if answer is None:
            continue
        taken.append(answer)
        new = Line(tuple(Word(word, shown.place, -1.0) for word in answer.seen.text.split()), shown.place)
        known = [word.text for line in own for word in line.words]
        if own:
            new = replace(new, block=own[0].block, paragraph=own[0].paragraph)
            replaced[shown.line] = _checked(shown.line, new, known)
        else:
            added.append(_checked(-1, new, known))
    kept = [
        replaced.get(at, (line, [doubts[key] for key in sorted(doubts) if key[0] == at]))
        for at, line in enumerate(lines)
    ]
    left = len(first.crops) - len(taken)
    if taken and left:
        asking.reasons.append(f"{left} of {len(first.crops)} lines stay unread")
    merged = _merged(kept, added)
    return Answered(
        tuple(line for line, _ in merged),
        tuple(doubt for _, told in merged for doubt in told),
        ("special" if any(one.tier == "special" for one in taken) else "vision") if taken else "",
        ", ".join(dict.fromkeys(one.seen.engine for one in taken)),
        bool(taken) and not left and all(one.proven for one in taken),
        asking.told(),
        tuple(dict.fromkeys(asking.receipts)),
    )


def _checked(at: int, line: Line, known: Iterable[str]) -> tuple[Line, list[str]]:
    """Step 4: a line that a model read, its values marked that no other reader has read alike."""
    others = list(known)
    broken = broken_accounts(line)
    doubts = [broken_account(at, number, account).told for number, account in broken.items() if account]
    words: list[Word] = []
    for number, word in enumerate(line.words):
        alone = is_value(word.text) and not any(same(word.text, other) for other in others)
        if alone and number not in broken:
            doubts.append(f"{word.text} (read by one reader only)")
        words.append(replace(word, doubtful=alone or number in broken))
    return replace(line, words=tuple(words)), doubts


def _merged(lines: list[tuple[Line, list[str]]], added: list[tuple[Line, list[str]]]) -> list[tuple[Line, list[str]]]:
    """Lines that tesseract had left out, put before the first line that stands clearly below them."""
    out = list(lines)
    for line, doubts in added:
        middle = (line.place.top + line.place.bottom) / 2
        at = next((n for n, (other, _) in enumerate(out) if other.place.top > middle), len(out))
        near = out[max(0, at - 1)][0] if out else line
        out.insert(at, (replace(line, block=near.block, paragraph=near.paragraph), doubts))
    return out
