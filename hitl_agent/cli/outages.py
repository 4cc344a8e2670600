"""Telling the user at the terminal that the database is away, and when it is back."""

from __future__ import annotations

import logging

from rich.text import Text

from hitl_agent.cli import output


class _Told(logging.Handler):
    """Prints what is logged of the database to stderr, as a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        output.err.print(Text(output.safe(record.getMessage()), style="yellow"), soft_wrap=True)


def tell() -> None:
    """Print outages of the database while a command waits them out, and the pool's own no more."""
    ours = logging.getLogger("hitl_agent.storage")
    if not any(isinstance(one, _Told) for one in ours.handlers):
        ours.addHandler(_Told())
        # without any handler Python prints warnings: one for each try of each connection
        logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
