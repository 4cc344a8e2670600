"""A real SMTP server on loopback that keeps what it is sent in a mailbox."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from mailbox import Maildir
from pathlib import Path
from typing import NamedTuple

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP


class Mail(NamedTuple):
    """A message in the mailbox.

    Attributes:
        message_id: the `Message-ID` header.
        to: the recipient.
        subject: the subject.
    """

    message_id: str
    to: str
    subject: str


@contextmanager
def mail_server(mailbox: Path) -> Iterator[str]:
    """Receive mail on a free port, into the Maildir `mailbox`; gives the server's URL."""
    loop = asyncio.new_event_loop()
    handler = Mailbox(mailbox)
    server = loop.run_until_complete(
        loop.create_server(
            lambda: SMTP(handler, hostname="localhost", loop=loop), "127.0.0.1", port=0
        )
    )
    thread = threading.Thread(target=loop.run_forever, name="smtp", daemon=True)
    thread.start()
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()


def mails(mailbox: Path) -> list[Mail]:
    """Return what the mailbox holds, in no particular order."""
    return [
        Mail(message["Message-ID"], message["To"], message["Subject"])
        for message in Maildir(mailbox)
    ]
