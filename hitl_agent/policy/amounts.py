"""Amounts of money and currencies as tools take them: read exactly, or not at all."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from hitl_agent.documents import show
from hitl_agent.policy.currencies import CURRENCIES

# no sign, exponent, space or separator: what tools read in different ways is not read at all
_AMOUNT = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_MAX_EXACT = 2**53  # up to here a float holds every whole number
_MAX_BITS = 128  # of an integer; beyond any sum of money


def read_amount(value: object) -> Decimal:
    """Return an amount: a number, or text that is one, finite and not negative.

    Raises:
        ValueError: it is none; the message goes on after the amount's name.
    """
    amount: Decimal | None = None
    match value:
        case bool():
            pass
        case int() if value.bit_length() <= _MAX_BITS:
            amount = Decimal(int(value))
        case float() if math.isfinite(value):
            amount = Decimal(repr(float(value)))
        case Decimal() if value.is_finite():
            amount = value
        case str() if _AMOUNT.fullmatch(value):
            amount = Decimal(value)
    if amount is None:
        raise ValueError(f"is {show(value)}, not a plain number")
    if amount < 0:
        raise ValueError(f"is {show(value)}, less than 0")
    return amount


def comparable(value: object) -> float:
    """Return an amount as conditions compare it.

    Raises:
        ValueError: it is none, or has more digits than a float holds, and could end up on the
            other side of a limit.
    """
    if type(value) is float and 0 <= value <= _MAX_EXACT:
        return value
    if type(value) is int and 0 <= value <= _MAX_EXACT:
        return float(value)
    amount = read_amount(value)
    number = float(amount)
    if not math.isfinite(number) or Decimal(repr(number)) != amount:
        raise ValueError(f"is {show(value)}, with more digits than a condition can compare")
    return number


def read_currency(value: object) -> str:
    """Return a currency's ISO 4217 code in upper case.

    Raises:
        ValueError: it is none; the message goes on after `the currency`.
    """
    code = value.strip().upper() if isinstance(value, str) else ""
    if code not in CURRENCIES:
        raise ValueError(f"is {show(value)}, no ISO 4217 code")
    return code


def digits(amount: Decimal) -> str:
    """Return an amount for a sentence, without a useless `.0`."""
    return show(amount).strip("`").removesuffix(".0")
