"""Sentences around identifiers in seven languages and the words of the countries, and what only looks like one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.held_out.numbers import MAKERS, digits

SENTENCES = {
    "en": [
        "The applicant's {word} is {it}, and the lease runs until June.",
        "{Word}: {it}",
        "Please note {it} ({word}) in the file.",
        "We wrote to her on Monday; {word} {it} is on record.",
    ],
    "fr": [
        "Le {word} de la demandeuse est {it} et le bail court jusqu'en juin.",
        "{Word} : {it}",
        "Merci de noter {it} ({word}) au dossier.",
        "Son {word}, {it}, figure au contrat.",
    ],
    "de": [
        "Die {word} der Antragstellerin lautet {it}; der Vertrag endet im Juni.",
        "{Word}: {it}",
        "Bitte vermerken Sie {it} ({word}) in der Akte.",
        "Seine {word} {it} steht im Vertrag.",
    ],
    "es": [
        "El {word} de la solicitante es {it} y el contrato acaba en junio.",
        "{Word}: {it}",
        "Anote {it} ({word}) en el expediente, por favor.",
        "Su {word}, {it}, consta en el contrato.",
    ],
    "it": [
        "Il {word} della richiedente è {it} e il contratto scade a giugno.",
        "{Word}: {it}",
        "Si prega di annotare {it} ({word}) nel fascicolo.",
        "Il suo {word}, {it}, è nel contratto.",
    ],
    "nl": [
        "Het {word} van de aanvraagster is {it} en de huur loopt tot juni.",
        "{Word}: {it}",
        "Noteer {it} ({word}) in het dossier.",
        "Zijn {word} {it} staat in het contract.",
    ],
    "pl": [
        "Jej {word} to {it}, a umowa trwa do czerwca.",
        "{Word}: {it}",
        "Proszę zapisać {it} ({word}) w aktach.",
        "Numer {word} {it} jest w umowie.",
    ],
}
BARE = [
    "Hoi, {it}",
    "see {it} please",
    "Danke, {it}, bis morgen",
    "{it}",
    "Anna Nowak, {it}, Hamburg",
    "id;name\n{it};Anna",
]
ROWS = "Jan de Vries;;Utrecht\nLucia Gomez;;Madrid\nPierre Martin;;Lyon\n"
WORDS = {
    "email": ["e-mail", "mail", "adresse"],
    "phone": [
        "phone number",
        "Telefonnummer",
        "téléphone",
        "teléfono",
        "cellulare",
        "telefoonnummer",
        "telefon",
        "mobile",
    ],
    "iban": ["IBAN", "account", "conto"],
    "card": ["card number", "Kreditkarte", "carte bancaire", "tarjeta"],
    "nir": ["numéro de sécurité sociale", "NIR"],
    "bsn": ["BSN", "burgerservicenummer"],
    "pesel": ["PESEL"],
    "codice_fiscale": ["codice fiscale", "C.F."],
    "steuer_id": ["Steuer-ID", "Steueridentifikationsnummer", "IdNr"],
    "dni": ["DNI", "NIE", "documento"],
    "belgian_id": ["rijksregisternummer", "numéro national"],
    "nif": ["NIF", "contribuinte"],
    "afm": ["ΑΦΜ", "AFM"],
    "amka": ["AMKA"],
    "personnummer": ["personnummer"],
    "hetu": ["henkilötunnus", "hetu"],
    "cpr": ["CPR-nummer", "CPR"],
    "svnr": ["Sozialversicherungsnummer", "SVNR"],
    "pps": ["PPS number"],
    "cnp": ["CNP"],
    "egn": ["ЕГН", "EGN"],
    "rodne_cislo": ["rodné číslo", "RČ"],
    "oib": ["OIB"],
    "baltic_id": ["isikukood", "asmens kodas"],
    "fodselsnummer": ["fødselsnummer"],
    "ahv": ["AHV-Nummer", "numéro AVS"],
    "nhs": ["NHS number"],
    "nino": ["National Insurance number"],
    "kvnr": ["Versichertennummer", "KVNR"],
}
CLEAN = [
    "Invoice {n4}-{n6} of {date} over {amount} is due in 30 days.",
    "Rechnung Nr. {n10} vom {date}, Kundennummer K-{n6}.",
    "Commande n° {n10}, colis {track}, livrée le {date}.",
    "Pedido {n8}-{n4}, importe {amount}, fecha {date}.",
    "Bestelling {n9} is op {date} verzonden; track & trace {track}.",
    "Faktura {n4}/{n6} na kwotę {amount} z dnia {date}.",
    "Ordine {n8} del {date}, importo {amount}.",
    "ISBN {isbn}, 2nd edition, pages {n4}-{n4}.",
    "commit {hash}, built {date}, version {v}.",
    "uuid {uuid} at {unix} ({unixms} ms)",
    "The sum rose from {big} to {big} between {date} and {date}.",
    "Coordinates 52.{n6}, 13.{n6}; altitude {n4} m.",
    "Art. {n2} of Regulation (EU) {n4}/{n3}, OJ L {n3}, {date}, p. {n2}-{n2}.",
    "GET /api/v{n1}/items/{n8}?page={n2} 200 {n6} in 0.{n6} s",
    "Seriennummer {n4}-{n4}-{n4}, Artikel {n6}.{n3}",
    "EAN {ean}, lot {n6}, best before {date}",
    "Reference {n9} and file no. {n11}.",
    "{n12} rows, {n3}.{n3}.{n3} bytes, checksum {n10}",
    "DE{n9} is the VAT number of the company; HRB {n5}.",
    "Model x-{n8}, firmware {v}, MAC 00:1a:2b:{n2}:{n2}:{n2}.",
]


@dataclass(frozen=True)
class Case:
    """A text, the identifier in it ("" for none), its kind, and what sort of case it is."""

    text: str
    value: str
    kind: str
    sort: str  # "with its word", "in a table", "bare", "near miss", "clean"


def cases(seed: int, each: int) -> Iterator[Case]:
    """Of every kind `each` with its word, as many in a table, bare, and nearly right; and clean sentences."""
    dice = random.Random(seed)
    for kind, make in MAKERS.items():
        for _ in range(each):
            word, value = dice.choice(WORDS[kind]), make(dice)
            sentence = dice.choice(SENTENCES[dice.choice(sorted(SENTENCES))])
            text = sentence.format(word=word, Word=word[:1].upper() + word[1:], it=value)
            yield Case(text, value, kind, "with its word")
            value = make(dice)
            yield Case(f"Name;{word};City\n{ROWS}Anna Nowak;{value};Hamburg\n", value, kind, "in a table")
            value = make(dice)
            yield Case(dice.choice(BARE).format(it=value), value, kind, "bare")
            if kind not in {"email", "phone", "cpr", "nino"}:  # they hold nothing that could be wrong
                wrong = near_miss(dice, make(dice))
                text = sentence.format(word=word, Word=word[:1].upper() + word[1:], it=wrong)
                yield Case(text, "", kind, "near miss")
    for _ in range(each * len(MAKERS)):
        yield Case(clean(dice), "", "", "clean")


def near_miss(dice: random.Random, value: str) -> str:
    """One digit other than it was. It may be right again by chance, by another rule."""
    place = dice.choice([at for at, sign in enumerate(value) if sign.isdigit()])
    return value[:place] + str((int(value[place]) + dice.randint(1, 9)) % 10) + value[place + 1 :]


def clean(dice: random.Random) -> str:
    """A sentence full of numbers that are nobody's."""
    sentence = dice.choice(CLEAN)
    while "{" in sentence:
        at = sentence.index("{")
        end = sentence.index("}", at)
        sentence = sentence[:at] + filled(dice, sentence[at + 1 : end]) + sentence[end + 1 :]
    return sentence


def filled(dice: random.Random, what: str) -> str:
    if what[0] == "n" and what[1:].isdigit():
        return digits(dice, int(what[1:]))
    year, month, day = dice.randint(1990, 2030), dice.randint(1, 12), dice.randint(1, 28)
    return {
        "date": lambda: dice.choice(
            [f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}", f"{day:02}/{month:02}/{year}"]
        ),
        "amount": lambda: dice.choice(
            [
                f"{dice.randint(1, 999)}.{digits(dice, 3)},{digits(dice, 2)} EUR",
                f"€{dice.randint(1, 99)},{digits(dice, 3)},{digits(dice, 3)}",
                f"{dice.randint(1, 99)} {digits(dice, 3)} {digits(dice, 3)} zł",
            ]
        ),
        "big": lambda: f"{dice.randint(1, 99)} {digits(dice, 3)} {digits(dice, 3)}",
        "track": lambda: dice.choice([f"JD{digits(dice, 16)}", f"{digits(dice, 12)}", f"RR{digits(dice, 9)}DE"]),
        "isbn": lambda: f"978-{dice.randint(0, 9)}-{digits(dice, 2)}-{digits(dice, 6)}-{dice.randint(0, 9)}",
        "hash": lambda: f"{dice.getrandbits(160):040x}",
        "uuid": lambda: "-".join(
            f"{dice.getrandbits(128):032x}"[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        ),
        "unix": lambda: str(dice.randint(1_500_000_000, 1_900_000_000)),
        "unixms": lambda: str(dice.randint(1_500_000_000_000, 1_900_000_000_000)),
        "v": lambda: f"{dice.randint(0, 20)}.{dice.randint(0, 40)}.{digits(dice, 5)}",
        "ean": lambda: dice.choice("45") + digits(dice, 12),
    }[what]()
