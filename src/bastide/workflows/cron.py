"""Cron with a time zone: when a schedule fires, also on the two days a year on which the clocks are changed.

Five fields (minute, hour, day of month, month, day of week) with `*`, lists, ranges, steps, the English names of
months and days, `L` for the last and `#` for the n-th. Where day of month and day of week are both given, either is
enough. croniter finds the matching times on the face of the clock; which moments those are is decided here:

    the schedule names hours       each time it names fires once. One that does not exist, because the clock was put
                                   forward, fires at the first moment after the gap, together with others of the same
                                   gap; one that comes twice, because the clock was put back, fires the first time.
    it runs at every hour (`*`)    it follows real time: each moment whose clock shows a time that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]

from bastide.errors import BadSchedule

_STEPS_MAX = (59, 23, 31, 12, 7)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WORDS = frozenset({*_MONTHS, "sun", "mon", "tue", "wed", "thu", "fri", "sat", "l"})
_FIELD = re.compile(r"[0-9a-z*,/#-]{1,100}\Z")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}\Z")
_ZONES_NOT = frozenset({"localtime", "posixrules", "Factory"})  # what they mean depends on the machine

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_LEAP = timedelta(hours=28)  # more than any zone has ever moved its clock by


@dataclass(frozen=True, slots=True)
class Cron:
    """When something fires. All moments that come out are in UTC, and strictly later than what went in."""

    fields: str
    zone: ZoneInfo
    every_hour: bool

    @classmethod
    def read(cls, cron: str, timezone: str) -> Cron:
        """What a person wrote. Raises BadSchedule, also for a date that never comes."""
        parts = cron.lower().split()
        if len(parts) != len(_STEPS_MAX):
            raise BadSchedule(f"A schedule has five fields, and {cron[:80]!r} has {len(parts)}.", field="cron")
        for part, most in zip(parts, _STEPS_MAX, strict=True):
            _check_field(part, most)
        fields = " ".join(parts)
        try:
            hours = croniter.expand(fields)[0][1]
            croniter(fields, datetime(2000, 1, 1), ret_type=datetime).get_next()  # noqa: DTZ001 - a face of the clock
        except (ValueError, KeyError, IndexError, TypeError) as fault:
            raise BadSchedule(f"{cron[:80]!r} names no time that ever comes: {fault}.", field="cron") from fault
        return cls(fields, _zone(timezone), every_hour=hours == ["*"] or len(set(hours)) == 24)

    def next(self, after: datetime) -> datetime:
        """The first moment after `after` at which it fires."""
        return self._next_moment(after) if self.every_hour else self._next_named(after)

    def upcoming(self, after: datetime, n: int) -> Iterator[datetime]:
        """The next `n` moments after `after`."""
        for _ in range(n):
            after = self.next(after)
            yield after

    def last(self, since: datetime, until: datetime) -> datetime | None:
        """The last moment after `since` and not after `until`; None if it did not fire. Cheap for any stretch."""
        span = timedelta(minutes=1)
        while True:  # how far back is there one?
            low = max(since, until - span)
            found = self.next(low)
            if found <= until:
                break
            if low == since:
                return None
            span *= 4
        high = until  # `next` never goes back, so the last one can be halved out
        while (following := self.next(found)) <= until:
            middle = max(following, found + (high - found) / 2)
            later = self.next(middle)
            if later <= until:
                found = later
            else:
                found, high = following, middle
        return found

    # A time of day that is named happens at one moment, and a later time never at an earlier moment. So the faces
    # after the one that shows now are gone through until one happens later than now.
    def _next_named(self, after: datetime) -> datetime:
        face = self._face(after)
        while True:
            face = self._next_face(face)
            moment = self._moment(face)
            if moment > after:
                return moment

    # Between two changes of the clock, the face and real time run alike:
    #   1. the next matching face, as if the clock were not changed
    #   2. if it is changed before that, look again from the change on
    #   3. if that is far away, go near it first: there may be changes on the way that cancel each other
    def _next_moment(self, after: datetime) -> datetime:
        begin, face = after, self._face(after)
        while True:
            offset = self._offset(begin)
            moment = (self._next_face(face) - offset).replace(tzinfo=UTC)
            near = min(moment, begin + _LEAP)
            change = self._change(begin, near)
            if change is not None:
                begin, face = change, self._face(change) - _SECOND
            elif moment > near:
                begin = max(near, moment - _LEAP)
                face = self._face(begin)
            else:
                return moment

    def _next_face(self, face: datetime) -> datetime:
        found: datetime = croniter(self.fields, face, ret_type=datetime).get_next()
        return found

    def _moment(self, face: datetime) -> datetime:
        """When the clock shows this, the first time; if it never does, the end of the gap that it falls into."""
        moment = face.replace(tzinfo=self.zone).astimezone(UTC)
        if self._face(moment) == face:
            return moment
        before = face.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return self._change(before, moment) or moment

    def _change(self, begin: datetime, end: datetime) -> datetime | None:
        """The first moment after `begin`, up to `end`, from which the clock is set otherwise than at `begin`."""
        offset = self._offset(begin)
        low = begin
        while low < end:
            high = min(low + _HOUR, end)
            if self._offset(high) != offset:
                break
            low = high
        else:
            return None
        low = low.replace(microsecond=0)
        while high - low > _SECOND:
            middle = (low + (high - low) / 2).replace(microsecond=0)
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high.replace(microsecond=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)

    def _face(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)


def _check_field(part: str, most: int) -> None:
    words = set(re.findall(r"[a-z]+", part))
    if not _FIELD.match(part) or not words <= _WORDS:
        raise BadSchedule(f"{part[:80]!r} is not a cron field.", field="cron")
    for step in re.findall(r"/([0-9]+)", part):
        if not 0 < int(step) <= most:
            raise BadSchedule(f"A step of {step[:20]} does not fit into its field, which goes to {most}.", field="cron")


def _zone(name: str) -> ZoneInfo:
    if name in _ZONES_NOT or not _ZONE.match(name):
        raise BadSchedule(f"There is no time zone {name[:80]!r}.", field="timezone")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as fault:
        raise BadSchedule(f"There is no time zone {name[:80]!r}.", field="timezone") from fault
