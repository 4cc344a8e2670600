"""The demo's own database, new in every run, and the refunds that are in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege

from demo.terminal import DemoFailed
from hitl_agent.storage.connection import connect
from hitl_agent.storage.location import DATABASE_URL, resolve_database_url

NAME = "hitl_demo"

_REFUNDS = Path(__file__).parent / "refunds.sql"


class Refund(NamedTuple):
    """A row of the order desk's table of refunds.

    Attributes:
        refund_id: the row's key.
        order_id: the order that it is for.
        amount: with two decimals.
        currency: ISO 4217 code.
    """

    refund_id: int
    order_id: str
    amount: str
    currency: str


def new_database() -> str:
    """Create the demo's database on the server that is used, and return how to connect to it.

    What an earlier run left is dropped; no other database is touched.

    Raises:
        DatabaseUnavailable: the server does not answer.
        DemoFailed: it does not let the user create databases.
    """
    server = resolve_database_url()
    if conninfo_to_dict(server).get("dbname") == NAME:  # nobody can drop what he is connected to
        server = make_conninfo(server, dbname="postgres")
    name = sql.Identifier(NAME)
    with connect(server) as connection:
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        except InsufficientPrivilege as error:
            raise DemoFailed(
                f"the demo may not create its database `{NAME}`: {error.diag.message_primary}",
                hint=f"unset {DATABASE_URL}, and it uses the embedded server",
            ) from error
    return _url(conninfo_to_dict(server))


def without_password(database_url: str) -> str:
    """Return the demo's URL as it may be printed."""
    parameters = conninfo_to_dict(database_url)
    return _url({key: value for key, value in parameters.items() if key != "password"})


def refunds(database_url: str) -> list[Refund]:
    """Return every refund, oldest first."""
    with connect(database_url) as connection:
        return [Refund(**row) for row in connection.execute(_REFUNDS.read_bytes())]


def _url(parameters: Mapping[str, Any]) -> str:
    """Return how to connect to the demo's database, with the parameters of another."""
    others = {key: value for key, value in parameters.items() if key != "dbname"}
    return f"postgresql:///{NAME}?{urlencode(others, quote_via=quote)}"
