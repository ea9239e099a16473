"""Cron with time zones: what fires when the clocks are changed, held against a walk through every minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.errors import BadSchedule
from bastide.workflows.cron import Cron

MINUTE = timedelta(minutes=1)

# A zone, and the UTC moment of one of its changes: forward, back, by half an hour, by a day, by nothing.
CHANGES = [
    ("Europe/Paris", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Paris", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),  # midnight does not exist
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),  # midnight comes twice
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # a whole day does not exist
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC)),
    ("UTC", datetime(2026, 6, 1, tzinfo=UTC)),
]


def faces(cron: str, zone: str, after: datetime, n: int) -> list[str]:
    """The next `n` moments, as the clock on the wall shows them."""
    return [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for moment in fires(cron, zone, after, n)]


def fires(cron: str, zone: str, after: datetime, n: int) -> list[datetime]:
    return list(Cron.read(cron, zone).upcoming(after, n))


# -- the promises, one by one -----------------------------------------------------------------------


def test_a_time_that_does_not_exist_fires_once_after_the_gap() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert faces("30 2 * * *", "Europe/Paris", before, 2) == ["29 03:00 +0200", "30 02:30 +0200"]
    assert faces("*/10 2 * * *", "Europe/Paris", before, 2) == ["29 03:00 +0200", "30 02:00 +0200"]
    assert faces("0 2,3 * * *", "Europe/Paris", before, 2) == ["29 03:00 +0200", "30 02:00 +0200"]
    lord_howe = datetime(2026, 10, 3, 12, tzinfo=UTC)
    assert faces("15 2 * * *", "Australia/Lord_Howe", lord_howe, 2) == ["04 02:30 +1100", "05 02:15 +1100"]


def test_a_time_that_comes_twice_fires_once() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert faces("30 2 * * *", "Europe/Paris", before, 2) == ["25 02:30 +0200", "26 02:30 +0100"]
    assert faces("0 2,3 * * *", "Europe/Paris", before, 2) == ["25 02:00 +0200", "25 03:00 +0100"]
    lord_howe = datetime(2026, 4, 4, 12, tzinfo=UTC)
    assert faces("45 1 * * *", "Australia/Lord_Howe", lord_howe, 2) == ["05 01:45 +1100", "06 01:45 +1030"]
    havana = datetime(2026, 10, 31, 12, tzinfo=UTC)
    assert faces("0 0 * * *", "America/Havana", havana, 2) == ["01 00:00 -0400", "02 00:00 -0500"]


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_every_quarter_of_an_hour_is_real_time(zone: str, change: datetime) -> None:
    moments = fires("*/15 * * * *", zone, change - timedelta(hours=12), 96)
    assert moments[0] == change - timedelta(hours=12) + timedelta(minutes=15)
    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(minutes=15)}


def test_hourly_fires_in_both_hours_that_come_twice() -> None:
    before = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    assert faces("0 * * * *", "Europe/Paris", before, 3) == ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]
    spring = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert faces("0 * * * *", "Europe/Paris", spring, 2) == ["29 03:00 +0200", "29 04:00 +0200"]


def test_a_second_hour_of_saturday_is_not_missed() -> None:
    # São Paulo put its clock back at midnight: the last hour of Saturday came twice, and Saturday is what is asked for.
    just_before = datetime(2019, 2, 17, 1, 59, tzinfo=UTC)
    assert faces("0 * * * sat", "America/Sao_Paulo", just_before, 2) == ["16 23:00 -0300", "23 00:00 -0300"]


def test_days_are_understood_as_cron_does() -> None:
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    assert faces("0 6 * * 1-5", "UTC", new_year, 3) == ["01 06:00 +0000", "02 06:00 +0000", "05 06:00 +0000"]
    assert faces("0 0 29 2 *", "UTC", new_year, 1) == ["29 00:00 +0000"]
    assert fires("0 0 29 2 *", "UTC", new_year, 2)[1].year == 2032
    assert faces("0 0 L * *", "UTC", new_year, 2) == ["31 00:00 +0000", "28 00:00 +0000"]
    assert faces("0 0 * * fri#3", "UTC", new_year, 1) == ["16 00:00 +0000"]
    assert faces("0 0 13 * FRI", "UTC", new_year, 3) == ["02 00:00 +0000", "09 00:00 +0000", "13 00:00 +0000"]


# -- the same, held against a walk through every minute ---------------------------------------------

hours = st.one_of(st.just(frozenset(range(24))), st.frozensets(st.integers(0, 23), min_size=1, max_size=5))
minutes = st.frozensets(st.integers(0, 59), min_size=1, max_size=6)
weekdays = st.one_of(st.none(), st.frozensets(st.integers(0, 6), min_size=1, max_size=6))


def spelt(values: frozenset[int]) -> str:
    return ",".join(str(value) for value in sorted(values))


def walked(
    zone: ZoneInfo, named: bool, matches: Callable[[datetime], bool], first: datetime, days: int
) -> set[datetime]:
    """Every minute is looked at; no arithmetic with offsets at all."""
    clock = [first + MINUTE * n for n in range(days * 24 * 60)]
    shown = [moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in clock]
    if not named:
        return {moment for moment, face in zip(clock, shown, strict=True) if matches(face)}
    found, seen = set(), set()
    for before, moment, face in zip(shown, clock[1:], shown[1:], strict=False):
        passed = before + MINUTE  # what the clock has come past with this minute: itself, and a gap before it
        while passed <= face:
            if passed not in seen and matches(passed):
                found.add(moment)
            seen.add(passed)
            passed += MINUTE
    return found


@settings(max_examples=30)
@given(st.sampled_from(CHANGES), minutes, hours, weekdays)
def test_it_fires_as_a_walk_through_every_minute_says(
    place: tuple[str, datetime], minute: frozenset[int], hour: frozenset[int], weekday: frozenset[int] | None
) -> None:
    name, change = place
    named = len(hour) < 24
    cron = Cron.read(f"{spelt(minute)} {spelt(hour)} * * {'*' if weekday is None else spelt(weekday)}", name)

    def matches(face: datetime) -> bool:
        of_day = weekday is None or (face.weekday() + 1) % 7 in weekday
        return face.minute in minute and face.hour in hour and of_day

    first, days = change - timedelta(hours=30), 3
    expected = walked(ZoneInfo(name), named, matches, first, days)
    begin, end = first + timedelta(hours=5), first + timedelta(days=days) - MINUTE
    found, moment = set(), begin
    while (moment := cron.next(moment)) <= end:
        found.add(moment)
    assert found == {moment for moment in expected if begin < moment <= end}
    assert cron.last(begin, end) == max(found, default=None)


_30_YEARS_S = 30 * 366 * 86_400
moments = st.integers(0, 2 * _30_YEARS_S).map(lambda s: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
crons = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "0 * * * 0",
        "30 2 * * *",
        "0 0 1 * *",
        "59 23 29 2 *",
        "15 1,2,3 * 3,10 *",
        "0 */5 L * 1",
    ]
)
zones = st.sampled_from(
    sorted({zone for zone, _ in CHANGES} | {"Africa/Casablanca", "Europe/Dublin", "America/Caracas"})
)


@settings(max_examples=150)
@given(crons, zones, moments, moments)
def test_later_in_is_never_earlier_out(text: str, zone: str, one: datetime, other: datetime) -> None:
    cron = Cron.read(text, zone)
    one, other = sorted((one, other))
    first, second = cron.next(one), cron.next(other)
    assert one < first <= second
    assert second > other
    assert cron.next(first - timedelta(microseconds=1)) == first
    assert first.second == first.microsecond == 0 or first.year < 1990
    last = cron.last(one, other)
    if last is None:
        assert first > other
    else:
        assert first <= last <= other < cron.next(last)


def test_the_last_of_thirty_years_is_found_at_once() -> None:
    cron = Cron.read("* * * * *", "Europe/Paris")
    begin = time.thread_time()
    now = datetime(2026, 11, 21, 5, 30, 30, tzinfo=UTC)
    assert cron.last(datetime(1996, 1, 1, tzinfo=UTC), now) == now.replace(second=0)
    assert time.thread_time() - begin < 0.5


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 0 * * *",
        "0 0 1 1 * 2030",
        "* * * *",
        "",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "*/0 * * * *",
        "*/61 * * * *",
        "H * * * *",
        "R * * * *",
        "-1 * * * *",
        "1,,2 * * * *",
        "٣ * * * *",
        "0 0 * * 8",
        "0 0 * foo *",
        "* * * * *; drop table workflows.run",
        "1," * 4000 + "1 * * * *",
        "\0 * * * *",
        "l * * * *",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_no_schedule_is_refused(cron: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        Cron.read(cron, "UTC")
    assert caught.value.facts["field"] == "cron"
    assert caught.value.status == 422
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "zone",
    ["", "Europe", "Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "localtime", "Europe/Paris\0", "+02:00"],
)
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        Cron.read("0 0 * * *", zone)
    assert caught.value.facts["field"] == "timezone"


@settings(max_examples=400)
@given(st.lists(st.text("0123456789*/,-#lLjanfebmonsu ", min_size=1, max_size=7), min_size=5, max_size=5))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    try:
        cron = Cron.read(" ".join(parts), "Europe/Paris")
    except BadSchedule:
        return
    now = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    assert now < cron.next(now) < now + timedelta(days=366 * 30)
