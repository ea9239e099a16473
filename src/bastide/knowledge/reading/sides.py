"""Sides: where prose stands beside something else, each side of the page is looked at by itself for tables."""

from bastide.knowledge.reading.printed import Line

_PROSE_LEAST, _OTHER_LEAST = 6, 4
"""Lines of the side that is prose, and of the one beside it."""
_WORDS_LEAST = 5


def sides(lines: list[Line]) -> list[list[Line]]:
    """The lines of a page in groups: those above, on the left, on the right and below; all in one where nothing stands
    beside prose. No line of the two sides crosses the place between them.
    """
    if len(lines) < _PROSE_LEAST + _OTHER_LEAST:
        return [lines]
    lines = sorted(lines, key=lambda line: -line.bottom)
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    best: tuple[int, list[list[Line]]] = 0, [lines]
    for step in range(30, 71, 2):
        x = left + (right - left) * step / 100
        for first, last in _stretches(lines, x):
            if last - first <= max(best[0], _PROSE_LEAST + _OTHER_LEAST - 1):
                continue
            within = lines[first:last]
            one, other = [line for line in within if line.right <= x], [line for line in within if line.left >= x]
            if (_prose(one) and len(other) >= _OTHER_LEAST) or (_prose(other) and len(one) >= _OTHER_LEAST):
                best = last - first, [lines[:first], one, other, lines[last:]]
    return [group for group in best[1] if group]


def _stretches(lines: list[Line], x: float) -> list[tuple[int, int]]:
    """From where to where, from the top, no line crosses a place."""
    found: list[tuple[int, int]] = []
    first = 0
    for at, line in enumerate(lines):
        if line.left < x < line.right:
            found.append((first, at))
            first = at + 1
    return [*found, (first, len(lines))]


def _prose(lines: list[Line]) -> bool:
    """Whether most lines are full and many go on in the middle of a sentence, which the rows of a table do not."""
    if len(lines) < _PROSE_LEAST:
        return False
    wide = max(line.right for line in lines) - min(line.left for line in lines)
    full = sum(len(line.words) >= _WORDS_LEAST and line.right - line.left >= 0.8 * wide for line in lines)
    goes_on = sum(line.text[0].islower() for line in lines)
    return full >= 0.6 * len(lines) and goes_on >= 0.35 * len(lines)
