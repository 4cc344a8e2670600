"""Order desk tools: the orders of a small shop, for graphs that need something at stake.

The tables are real, in the schema `order_desk` of whatever database is used. Money is
`numeric(12,2)` there, Decimal here, and a decimal string such as `"24.90"` in results: a float
can hold neither 24.90 nor a reviewer's trust.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, LiteralString

from langchain_core.tools import BaseTool, ToolException
from psycopg.rows import dict_row
from pydantic import Field

from hitl_agent.storage.location import resolve_database_url
from tools.arguments import Arguments, as_tool, refuse_control_characters
from tools.database import Connection, DatabaseUrl, transaction
from tools.queries import query, script

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_MS = 5000

_SQL = "order_desk_queries.sql"
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
_ORDER_ID = "such as `A-1001`"

_ready: set[str] = set()
_ready_lock = threading.Lock()


class LookUpOrder(Arguments):
    """Arguments of `look_up_order`."""

    order_id: str = Field(max_length=20, description=_ORDER_ID)


class RefundOrder(Arguments):
    """Arguments of `refund_order`."""

    order_id: str = Field(max_length=20, description=_ORDER_ID)
    amount: str | int | float = Field(
        description="in the order's currency, above 0, at most two decimals: 24.9 or `24.90`"
    )
    reason: str = Field(min_length=1, max_length=500, description="why, for the record")


class CancelOrder(Arguments):
    """Arguments of `cancel_order`."""

    order_id: str = Field(max_length=20, description=_ORDER_ID)
    reason: str = Field(min_length=1, max_length=500, description="why, for the record")


class ChangeAddress(Arguments):
    """Arguments of `change_address`."""

    order_id: str = Field(max_length=20, description=_ORDER_ID)
    street: str = Field(min_length=1, max_length=200, description="street and number")
    city: str = Field(min_length=1, max_length=100)
    postal_code: str = Field(min_length=1, max_length=20)
    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166 code, such as `DE`")


def order_desk_tools(database_url: DatabaseUrl = resolve_database_url) -> list[BaseTool]:
    """Return `look_up_order`, `refund_order`, `cancel_order` and `change_address`.

    Args:
        database_url: the database; a function is asked at each call. Its tables are set up when
            this process first uses that database.
    """
    desk = OrderDesk(database_url)
    return [
        as_tool(desk.look_up_order, LookUpOrder),
        as_tool(desk.refund_order, RefundOrder),
        as_tool(desk.cancel_order, CancelOrder),
        as_tool(desk.change_address, ChangeAddress),
    ]


def setup(database_url: str, *, reset: bool = False) -> None:
    """Create and fill the tables if they are absent. Safe in several processes at once.

    Args:
        database_url: a `postgresql://` URL.
        reset: throw away what is there and begin with the seeded data again.

    Raises:
        ToolException: the database cannot be reached, or refuses.
    """
    with transaction(database_url, timeout_ms=6 * TIMEOUT_MS) as connection:
        connection.execute(query(_SQL, "lock_setup"))
        if reset:
            connection.execute(query(_SQL, "drop"))
        found = connection.execute(query(_SQL, "is_set_up")).fetchone()
        if found != (True,):
            connection.execute(script("order_desk.sql"))


def money(value: str | float) -> Decimal:
    """Read an amount of money as a model writes it.

    Args:
        value: a number or a plain decimal string, without sign, exponent or separators.

    Raises:
        ToolException: it is none, is not above 0, or has more than two decimals.
    """
    text = value if isinstance(value, str) else repr(value)
    # 180.0 and 24.9 are how JSON numbers look; zeros beyond the cent change nothing
    plain = re.sub(r"(\.[0-9]{2})0+$", r"\1", text)
    if not _AMOUNT.fullmatch(plain):
        raise ToolException(
            f"`{text}` is no amount of money; write a number above 0 with at most two decimals"
        )
    amount = Decimal(plain)
    if amount == 0:
        raise ToolException(f"`{text}` is no amount to refund; write a number above 0")
    return amount.quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """The tools' functions over one database; their docstrings are written for the model."""

    database_url: DatabaseUrl

    def look_up_order(self, order_id: str) -> dict[str, Any]:
        """Look up an order: status, customer, address, lines, what it cost and was refunded."""
        with transaction(self._url(), timeout_ms=TIMEOUT_MS, read_only=True) as connection:
            order = _one(connection, "find", {"order_id": _checked(order_id)})
        return order or _refuse_unknown(order_id)

    def refund_order(self, order_id: str, amount: str | float, reason: str) -> dict[str, Any]:
        """Refund part or all of what is left of an order's total. It cannot be taken back."""
        values = {
            "order_id": _checked(order_id),
            "amount": money(amount),
            "reason": _checked(reason, "reason"),
        }
        with transaction(self._url(), timeout_ms=TIMEOUT_MS) as connection:
            order = _locked(connection, order_id)
            if order["status"] == "cancelled":
                raise ToolException(f"the order `{order_id}` is cancelled and refunded already")
            if values["amount"] > order["refundable"]:
                raise ToolException(
                    f"`{values['amount']}` is more than what is left of the order `{order_id}`; "
                    f"refund at most `{order['refundable']}` {order['currency']}"
                )
            return _one(connection, "refund", values) or _refuse_unknown(order_id)

    def cancel_order(self, order_id: str, reason: str) -> dict[str, Any]:
        """Cancel an order that is not yet shipped and refund what is left of it.

        It cannot be taken back. `amount` is what this refunds.
        """
        why = _checked(reason, "reason")
        with transaction(self._url(), timeout_ms=TIMEOUT_MS) as connection:
            order = _locked(connection, order_id)
            _refuse_unless_placed(order_id, order["status"], "cancelled")
            values = {"order_id": order_id, "reason": why, "refundable": order["refundable"]}
            return _one(connection, "cancel", values) or _refuse_unknown(order_id)

    def change_address(
        self, order_id: str, street: str, city: str, postal_code: str, country: str
    ) -> dict[str, Any]:
        """Change where an order that is not yet shipped is delivered to."""
        values = {
            "order_id": _checked(order_id),
            "street": _checked(street, "street"),
            "city": _checked(city, "city"),
            "postal_code": _checked(postal_code, "postal code"),
            "country": country,
        }
        with transaction(self._url(), timeout_ms=TIMEOUT_MS) as connection:
            order = _locked(connection, order_id)
            _refuse_unless_placed(order_id, order["status"], "sent elsewhere")
            return _one(connection, "change_address", values) or _refuse_unknown(order_id)

    def _url(self) -> str:
        given = self.database_url
        url = given if isinstance(given, str) else given()
        with _ready_lock:
            if url not in _ready:
                setup(url)
                _ready.add(url)
        return url


def _checked(value: str, what: LiteralString = "order id") -> str:
    refuse_control_characters(what, value)
    if not value.strip():
        raise ToolException(f"the {what} is empty; write one")
    return value


def _one(connection: Connection, name: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(_SQL, name), values).fetchone()


def _locked(connection: Connection, order_id: str) -> dict[str, Any]:
    """Lock the order, so that what is said about it stays true until the end."""
    return _one(connection, "lock", {"order_id": _checked(order_id)}) or _refuse_unknown(order_id)


def _refuse_unknown(order_id: str) -> dict[str, Any]:
    raise ToolException(f"there is no order `{order_id}`; check the number")


def _refuse_unless_placed(order_id: str, status: str, wish: str) -> None:
    if status != "placed":
        raise ToolException(
            f"the order `{order_id}` is {status}; only an order that is placed can be {wish}"
        )
