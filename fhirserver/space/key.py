"""The check digits of French numbers.

The key of a NIR or NIA is 97 minus the remainder of its 13 characters by 97, where 2A and 2B
(Corsica) count as 19 and 18. SIREN and SIRET end in a Luhn digit (ISO/IEC 7812-1), but for La
Poste, whose SIRET's digits add up to a multiple of 5. Source: INSEE.
"""

from __future__ import annotations

import re

#: Sex, year and month of birth, department and commune, order, key.
INS = re.compile(r"[1-478]\d{4}(?:\d\d|2[AB])\d{8}")


def ins_key(number: str) -> str:
    """The key of the first 13 characters of an INS."""
    corsica = number.replace("2A", "19").replace("2B", "18")
    return f"{97 - int(corsica) % 97:02d}"


def is_ins(value: str) -> bool:
    """15 characters in the form of a NIR or NIA, with the right key."""
    return bool(INS.fullmatch(value)) and ins_key(value[:13]) == value[13:]


def is_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_sirene(digits: str, exceptions: frozenset[str]) -> bool:
    """Whether a SIREN or SIRET has the right last digit."""
    if len(digits) == 14 and digits[:9] in exceptions:
        return sum(map(int, digits)) % 5 == 0 or is_luhn(digits)
    return is_luhn(digits)
