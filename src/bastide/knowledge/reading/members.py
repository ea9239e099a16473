"""Members: the files that an archive or a message holds, read as one document.

Each is a section titled with its name, its blocks one level deeper, read by the reader of its own type. One that
cannot be read is a problem that names it and says why; the rest goes on. Limits hold for the whole.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bastide.errors import BombFile, EmptyFile, FileTooLarge, Refusal, UnsupportedType
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import FORMLESS, Block, Draft
from bastide.knowledge.reading.values import Limits, PageRead

_NAME_MAX = 200
_TOLD_MAX = 3
_CLIMBING = re.compile(r"^(?:[A-Za-z]:)?[\\/]+|(?:^|(?<=[\\/]))\.{1,2}(?:[\\/]+|$)")


@dataclass(slots=True)
class Opened:
    """What a container was found to hold: words of its own, and files, which are unpacked one by one."""

    draft: Draft
    members: "Iterable[Member]"
    level: int = 1
    """Of the headings that name the files."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file within another; `refused` where it cannot be had, `opened` where it is no file of its own."""

    name: str
    data: bytes = b""
    refused: Refusal | None = None
    opened: Opened | None = None


@dataclass(slots=True)
class Budget:
    """What all files of one document may still ask for, together."""

    limits: Limits
    unpacked: int = 0
    members: int = 0
    text: int = 0
    blocks: int = 0
    spent: bool = False
    """Whether the whole is over a limit: then no file in it is read."""

    def unpack(self, size: int) -> None:
        """Counts bytes about to be unpacked."""
        self.unpacked += size
        if self.unpacked > self.limits.unpacked_max:
            self.spent = True
            raise BombFile(f"The files in it would unpack to more than {self.limits.unpacked_max:,} bytes.")

    def count(self) -> None:
        """Counts one more file."""
        self.members += 1
        if self.members > self.limits.members_max:
            self.spent = True
            raise FileTooLarge(f"There are more than {self.limits.members_max:,} files in it.")

    def keep(self, draft: Draft) -> None:
        """Counts what was read of one file."""
        self.text += sum(len(block.text) for block in draft.blocks)
        self.blocks += len(draft.blocks)
        if self.text > self.limits.text_max or self.blocks > self.limits.nodes_max:
            self.spent = True
            raise FileTooLarge(
                f"The files in it hold more than {self.limits.text_max:,} characters of text "
                f"or {self.limits.nodes_max:,} paragraphs and rows."
            )

    def left(self) -> Limits:
        """The limits of the next file."""
        return replace(
            self.limits,
            text_max=max(self.limits.text_max - self.text, 1),
            nodes_max=max(self.limits.nodes_max - self.blocks, 1),
            unpacked_max=max(self.limits.unpacked_max - self.unpacked, 1),
        )


Reader = Callable[[bytes, Limits], Draft]
Opener = Callable[[bytes, Budget], Opened]


@dataclass(slots=True)
class Containers:
    """The openers by media type, and the readers of what they hold."""

    openers: Mapping[str, Opener]
    readers: Mapping[str, Reader] = field(default_factory=dict)

    def reader(self, kind: str) -> Reader:
        """The reader of one type of container."""

        def read_container(data: bytes, limits: Limits) -> Draft:
            budget = Budget(limits)
            return self._gather(self.openers[kind](data, budget), budget, 1)

        return read_container

    def _gather(self, opened: Opened, budget: Budget, depth: int) -> Draft:
        """The container's own blocks, and behind them those of its files."""
        draft = opened.draft
        budget.keep(draft)
        refusals: list[tuple[str, Refusal]] = []
        for member in opened.members:
            budget.count()
            name = shown(member.name, draft.problems)
            try:
                inner = self._draft(member, budget, depth)
            except Refusal as refusal:
                if budget.spent:
                    raise
                refusals.append((name, refusal))
                continue
            _take_in(draft, inner, name, opened.level)
        draft.problems += [f"{name}: {refusal.message}" for name, refusal in refusals]
        if not draft.blocks and refusals:
            raise _none_read(refusals)
        return draft

    def _draft(self, member: Member, budget: Budget, depth: int) -> Draft:
        if member.refused is not None:
            raise member.refused
        if member.opened is None and not member.data.strip(b"\0 \t\r\n"):
            raise EmptyFile("The file is empty.")
        kind = media.media_type(member.name, member.data) if member.opened is None else ""
        if not kind or kind in self.openers:
            if depth >= budget.limits.nesting_max:
                raise BombFile(f"It stands in {depth} archives or messages, and holds further files.")
            opened = member.opened or self.openers[kind](member.data, budget)
            return self._gather(opened, budget, depth + 1)
        draft = self.readers[kind](member.data, budget.left())
        if not any(block.text.strip() for block in draft.blocks):
            raise EmptyFile("There is no text in it.")
        budget.keep(draft)
        return draft


def _none_read(refusals: list[tuple[str, Refusal]]) -> Refusal:
    first = refusals[0][1]
    told = "; ".join(f"{name}: {refusal.message}" for name, refusal in refusals[:_TOLD_MAX])
    more = f" ({len(refusals) - _TOLD_MAX} more)" if len(refusals) > _TOLD_MAX else ""
    alike = all(type(refusal) is type(first) for _, refusal in refusals)
    kind = type(first) if alike else UnsupportedType
    return kind(f"No file in it could be read. {told}{more}")


def _take_in(draft: Draft, inner: Draft, name: str, level: int) -> None:
    """Puts what was read of a file below a heading with its name."""
    draft.blocks.append(Block("heading", name, level=level, member=True))
    told = [block.level for block in inner.blocks if block.kind == "heading" and block.level < FORMLESS]
    deeper = level + 1 - min(told, default=1)
    for block in inner.blocks:
        if block.kind == "heading" and block.level < FORMLESS:
            block.level = min(block.level + deeper, FORMLESS - 1)
    draft.blocks += inner.blocks
    draft.problems += [f"{name}: {problem}" for problem in inner.problems]
    draft.problems += [f"{name}: page {read.page}: {_why(read)}" for read in inner.page_reads if _doubtful(read)]
    draft.marks += inner.marks


def _doubtful(read: PageRead) -> bool:
    return read.band != "accepted" or bool(read.doubts)


def _why(read: PageRead) -> str:
    return "; ".join(filter(None, (read.reason or read.band, ", ".join(read.doubts))))


def shown(name: str, problems: list[str]) -> str:
    """A name within a container as it is shown: no way out of the folder, no control characters, not too long."""
    printable = "".join(letter for letter in name if letter.isprintable())
    inside = _CLIMBING.sub("", printable)
    while (again := _CLIMBING.sub("", inside)) != inside:
        inside = again
    if inside != printable:
        problems.append(f"the file {inside or 'without a name'} had a name that leads out of its folder")
    inside = inside.replace("\\", "/").strip() or "without a name"
    return inside if len(inside) <= _NAME_MAX else f"…{inside[1 - _NAME_MAX :]}"
