"""Valid identifiers by the rules of who issues them, written anew here: a mistake must not be made twice alike."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping

Dice = random.Random


def digits(dice: Dice, count: int) -> str:
    return "".join(dice.choice("0123456789") for _ in range(count))


def born(dice: Dice, first: int = 1930, last: int = 1999) -> tuple[int, int, int]:
    return dice.randint(first, last), dice.randint(1, 12), dice.randint(1, 28)


def luhn_digit(body: str) -> str:
    total = 0
    for place, sign in enumerate(reversed(body)):
        value = int(sign) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def weighted(body: str, weights: list[int]) -> int:
    return sum(int(sign) * weight for sign, weight in zip(body, weights, strict=True))


def hybrid(body: str) -> str:
    """ISO 7064 MOD 11,10."""
    rest = 10
    for sign in body:
        rest = (rest + int(sign)) % 10
        rest = (10 if rest == 0 else rest) * 2 % 11
    return str((11 - rest) % 10)


def grouped(text: str, sizes: list[int], between: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return between.join(parts)


def iban(dice: Dice) -> str:
    shapes = {
        "DE": "n" * 18,
        "FR": "n" * 10 + "c" * 11 + "nn",
        "ES": "n" * 20,
        "IT": "a" + "n" * 10 + "n" * 12,
        "NL": "aaaa" + "n" * 10,
        "PL": "n" * 24,
        "BE": "n" * 12,
        "AT": "n" * 16,
        "PT": "n" * 21,
        "IE": "aaaa" + "n" * 14,
        "LU": "nnn" + "n" * 13,
        "FI": "n" * 14,
        "SE": "n" * 20,
        "CH": "n" * 17,
        "GB": "aaaa" + "n" * 14,
    }
    country, shape = dice.choice(sorted(shapes.items()))
    made = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits * 4 + string.ascii_uppercase}
    body = "".join(dice.choice(made[one]) for one in shape)
    number = "".join(str(string.digits.index(s)) if s.isdigit() else str(ord(s) - 55) for s in body + country + "00")
    whole = f"{country}{98 - int(number) % 97:02}{body}"
    return whole if dice.random() < 0.4 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def card(dice: Dice) -> str:
    prefix, length = dice.choice([("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15)])
    body = prefix + digits(dice, length - 1 - len(prefix))
    whole = body + luhn_digit(body)
    between = dice.choice(["", " ", "-"])
    return grouped(whole, [4, 4, 4, 4] if length == 16 else [4, 6, 5], between)


def nir(dice: Dice) -> str:
    year, month, _ = born(dice)
    county = dice.choice(["75", "13", "69", "2A", "2B", "33"])
    body = f"{dice.choice('12')}{year % 100:02}{month:02}{county}{digits(dice, 6)}"
    value = int(body.replace("2A", "19").replace("2B", "18"))
    whole = f"{body}{97 - value % 97:02}"
    return whole if dice.random() < 0.4 else grouped(whole, [1, 2, 2, 2, 3, 3, 2], " ")


def bsn(dice: Dice) -> str:
    while True:
        body = str(dice.randint(10_000_000, 99_999_999))
        last = weighted(body, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
        if last < 10:
            return dice.choice([body + str(last), grouped(body + str(last), [4, 2, 3], ".")])


def pesel(dice: Dice) -> str:
    year, month, day = born(dice, 1930, 2015)
    body = f"{year % 100:02}{month + (20 if year >= 2000 else 0):02}{day:02}{digits(dice, 4)}"
    return body + str(-weighted(body, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)


ODD = "BAKPLCQDREVOSFTGUHMINJWZYX"


def codice_fiscale(dice: Dice) -> str:
    name = "".join(dice.choice("BCDFGLMNPRSTVZ") for _ in range(6))
    year, month, day = born(dice)
    birth = f"{year % 100:02}{'ABCDEHLMPRST'[month - 1]}{day + dice.choice([0, 40]):02}"
    body = f"{name}{birth}{dice.choice('ABCDFHL')}{digits(dice, 3)}"
    total = 0
    for place, sign in enumerate(body):
        value = int(sign) if sign.isdigit() else ord(sign) - 65
        total += ODD.index("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value]) if place % 2 == 0 else value
    whole = body + chr(65 + total % 26)
    return whole if dice.random() < 0.8 else whole.lower()


def steuer_id(dice: Dice) -> str:
    while True:
        nine = dice.sample("0123456789", 9)
        body = nine[:]
        body.insert(dice.randint(0, 9), dice.choice(nine))
        if body[0] != "0":
            whole = "".join(body)
            whole += hybrid(whole)
            return dice.choice([whole, grouped(whole, [2, 3, 3, 3], " ")])


def dni(dice: Dice) -> str:
    number = dice.randint(1_000_000, 99_999_999)
    letters = "TRWAGMYFPDXBNJZSQVHLCKE"
    if dice.random() < 0.3:
        first, rest = dice.randint(0, 2), dice.randint(0, 9_999_999)
        return f"{'XYZ'[first]}-{rest:07}-{letters[(first * 10_000_000 + rest) % 23]}"
    return f"{number:08}{dice.choice(['', '-'])}{letters[number % 23]}"


def belgian_id(dice: Dice) -> str:
    year, month, day = born(dice, 1930, 2015)
    body = f"{year % 100:02}{month:02}{day:02}{dice.randint(1, 997):03}"
    check = 97 - int(("2" if year >= 2000 else "") + body) % 97
    return f"{body[:2]}.{body[2:4]}.{body[4:6]}-{body[6:]}.{check:02}" if dice.random() < 0.6 else f"{body}{check:02}"


def nif(dice: Dice) -> str:
    body = dice.choice("123") + digits(dice, 7)
    left = weighted(body, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
    whole = body + str(0 if left < 2 else 11 - left)
    return dice.choice([whole, grouped(whole, [3, 3, 3], " ")])


def afm(dice: Dice) -> str:
    body = dice.choice("01") + digits(dice, 7)
    return body + str(weighted(body, [256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10)


def amka(dice: Dice) -> str:
    year, month, day = born(dice)
    body = f"{day:02}{month:02}{year % 100:02}{digits(dice, 4)}"
    return body + luhn_digit(body)


def personnummer(dice: Dice) -> str:
    year, month, day = born(dice)
    body = f"{year % 100:02}{month:02}{day:02}{digits(dice, 3)}"
    whole = f"{body[:6]}-{body[6:]}{luhn_digit(body)}"
    return whole if dice.random() < 0.5 else f"{year // 100}{whole}"


def hetu(dice: Dice) -> str:
    year, month, day = born(dice, 1930, 2015)
    date, number = f"{day:02}{month:02}{year % 100:02}", f"{dice.randint(2, 899):03}"
    return f"{date}{'A' if year >= 2000 else '-'}{number}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(date + number) % 31]}"


def cpr(dice: Dice) -> str:
    year, month, day = born(dice)
    return f"{day:02}{month:02}{year % 100:02}-{digits(dice, 4)}"


def svnr(dice: Dice) -> str:
    while True:
        year, month, day = born(dice)
        head, date = str(dice.randint(100, 999)), f"{day:02}{month:02}{year % 100:02}"
        check = weighted(head + date, [3, 7, 9, 5, 8, 4, 2, 1, 6]) % 11
        if check < 10:
            return f"{head}{check}{dice.choice([' ', ''])}{date}"


def pps(dice: Dice) -> str:
    body, more = digits(dice, 7), dice.choice(["", "A", "W"])
    total = weighted(body, [8, 7, 6, 5, 4, 3, 2]) + {"": 0, "A": 9, "W": 0}[more]
    return body + "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] + more


def cnp(dice: Dice) -> str:
    year, month, day = born(dice)
    body = f"{dice.choice('12')}{year % 100:02}{month:02}{day:02}{dice.randint(1, 46):02}{dice.randint(1, 999):03}"
    left = weighted(body, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11
    return body + ("1" if left == 10 else str(left))


def egn(dice: Dice) -> str:
    year, month, day = born(dice)
    body = f"{year % 100:02}{month:02}{day:02}{digits(dice, 3)}"
    return body + str(weighted(body, [2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10)


def rodne_cislo(dice: Dice) -> str:
    while True:
        year, month, day = born(dice, 1954, 1999)
        body = f"{year % 100:02}{month + dice.choice([0, 50]):02}{day:02}{digits(dice, 3)}"
        check = int(body) % 11
        if check < 10:
            return f"{body[:6]}{dice.choice(['/', '/', ''])}{body[6:]}{check}"


def oib(dice: Dice) -> str:
    body = digits(dice, 10)
    return body + hybrid(body)


def baltic_id(dice: Dice) -> str:
    year, month, day = born(dice)
    body = f"{dice.choice('34')}{year % 100:02}{month:02}{day:02}{digits(dice, 3)}"
    left = weighted(body, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11
    if left == 10:
        left = weighted(body, [3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10
    return body + str(left)


def fodselsnummer(dice: Dice) -> str:
    while True:
        year, month, day = born(dice)
        body = f"{day:02}{month:02}{year % 100:02}{digits(dice, 3)}"
        one = -weighted(body, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11
        if one < 10:
            two = -weighted(f"{body}{one}", [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
            if two < 10:
                return f"{body[:6]}{dice.choice([' ', ''])}{body[6:]}{one}{two}"


def ahv(dice: Dice) -> str:
    body = "756" + digits(dice, 9)
    check = -sum(int(sign) * (3 if place % 2 else 1) for place, sign in enumerate(body)) % 10
    return grouped(body + str(check), [3, 4, 4, 2], dice.choice([".", ""]))


def nhs(dice: Dice) -> str:
    while True:
        body = dice.choice("4567") + digits(dice, 8)
        check = -weighted(body, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
        if check < 10:
            return grouped(body + str(check), [3, 3, 4], dice.choice([" ", ""]))


def nino(dice: Dice) -> str:
    whole = dice.choice(["AB", "CE", "JK", "PA", "SX"]) + digits(dice, 6) + dice.choice("ABCD")
    return whole if dice.random() < 0.5 else grouped(whole, [2, 2, 2, 2, 1], " ")


def kvnr(dice: Dice) -> str:
    letter, body = dice.choice(string.ascii_uppercase), digits(dice, 8)
    whole = f"{string.ascii_uppercase.index(letter) + 1:02}{body}"
    total = sum(sum(map(int, str(int(sign) * (2 if place % 2 else 1)))) for place, sign in enumerate(whole))
    return f"{letter}{body}{total % 10}"


def email(dice: Dice) -> str:
    who = dice.choice(
        ["anna.nowak", "j.de-vries", "m_rossi", "lucía.gomez", "k.hoffmann+bank", "pierre", "O'Neill", "zk77"]
    )
    return f"{who}@{dice.choice(['posteo.de', 'mail.example.fr', 'gmx.net', 'uni-x.ac.uk', 'firma.pl', 'x.museum'])}"


def phone(dice: Dice) -> str:
    def d(count: int) -> str:
        return digits(dice, count)

    return dice.choice(
        [
            f"+49 {dice.choice(['30', '40', '171'])} {dice.randint(1, 9)}{d(6)}",
            f"0{dice.choice(['30', '89'])} {dice.randint(1, 9)}{d(6)}",
            f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}",
            f"06 {d(2)} {d(2)} {d(2)} {d(2)}",
            f"01.{d(2)}.{d(2)}.{d(2)}.{d(2)}",
            f"+31 6 {dice.randint(1, 9)}{d(7)}",
            f"06-{dice.randint(1, 9)}{d(7)}",
            f"020 {d(3)} {d(4)}",
            f"+34 6{d(2)} {d(3)} {d(3)}",
            f"6{d(2)} {d(3)} {d(3)}",
            f"+39 3{d(2)} {d(7)}",
            f"3{d(2)} {d(7)}",
            f"+48 {dice.randint(5, 8)}{d(2)} {d(3)} {d(3)}",
            f"{dice.randint(5, 8)}{d(2)}-{d(3)}-{d(3)}",
            f"+44 20 {d(4)} {d(4)}",
            f"020 {d(4)} {d(4)}",
            f"(0{d(3)}) {d(6)}",
            f"+353{dice.randint(1, 9)}{d(8)}",
        ]
    )


MAKERS: Mapping[str, Callable[[Dice], str]] = {
    maker.__name__: maker
    for maker in (
        email,
        phone,
        iban,
        card,
        nir,
        bsn,
        pesel,
        codice_fiscale,
        steuer_id,
        dni,
        belgian_id,
        nif,
        afm,
        amka,
        personnummer,
        hetu,
        cpr,
        svnr,
        pps,
        cnp,
        egn,
        rodne_cislo,
        oib,
        baltic_id,
        fodselsnummer,
        ahv,
        nhs,
        nino,
        kvnr,
    )
}
"""How to make one of each kind."""
