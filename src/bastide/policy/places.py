"""Places: the countries that policy may name, and what European law says of them.

Countries are ISO 3166-1 alpha-2 codes. `EU` and `EEA` are accepted wherever a person writes a zone and are
spelt out at once, so that a stored label never changes its meaning when a union grows.
"""

from datetime import UTC, datetime
from types import MappingProxyType

LOCAL = "local"
"""Where bytes are that never leave this machine: inside every zone, because nothing moves."""

NOWHERE = "none"
"""A plane that does not exist (nothing is stored, nobody gives support): it is in no place."""

_EU_CODES = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU = frozenset(_EU_CODES.split())
EEA = EU | {"IS", "LI", "NO"}
GROUPS = MappingProxyType({"EU": EU, "EEA": EEA})

_CODES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())

# GDPR Article 45: countries whose protection of personal data the Commission has found adequate, with the day on
# which a finding ends where it has one. Sources: the Commission's page "Data protection adequacy for non-EU
# countries" (commission.europa.eu); Implementing Decision (EU) 2026/179 of 26 January 2026 (Brazil); renewal for
# the United Kingdom of 19 December 2025, until 27 December 2031. Read on 2026-11-20. Canada: organisations under
# its commercial privacy act. The United States are not here: their finding covers only the participants of the
# Data Privacy Framework, which is a fact of a provider (`transfer_tool: DPF`), not of a country.
_OPEN_ENDED = "AD AR BR CA CH FO GG IL IM JE JP KR NZ UY"
ADEQUATE: MappingProxyType[str, datetime | None] = MappingProxyType(
    dict.fromkeys(_OPEN_ENDED.split(), None) | {"GB": datetime(2031, 12, 27, tzinfo=UTC)}
)


def countries(names: object) -> frozenset[str]:
    """The set of countries that `names` (a list of codes, `EU`, `EEA`) means. Raises ValueError on any other word."""
    if not isinstance(names, list | tuple | set | frozenset):
        raise ValueError(f"expected a list of countries such as [FR, DE], got {names!r}")
    found: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is not a country code")
        if name in GROUPS:
            found |= GROUPS[name]
        elif name in COUNTRIES:
            found.add(name)
        else:
            raise ValueError(f"{name!r} is not an ISO 3166 country code (nor EU or EEA)")
    return frozenset(found)


def adequate(country: str, now: datetime) -> bool:
    """True if a transfer of personal data to `country` needs no further tool on the day `now`."""
    if country in EEA:
        return True
    if country not in ADEQUATE:
        return False
    ends = ADEQUATE[country]
    return ends is None or now.astimezone(UTC) < ends
