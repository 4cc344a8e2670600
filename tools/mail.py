"""Mail tool: one message to one recipient over SMTP."""

from __future__ import annotations

import os
import re
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid, parseaddr
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from tools.arguments import Arguments, as_tool, refuse_control_characters
from tools.outcome import UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SMTP_URL = "HITL_SMTP_URL"
MAIL_FROM = "HITL_MAIL_FROM"
DEFAULT_URL = "smtp://127.0.0.1:25"
TIMEOUT = 15.0  # seconds for each answer of the server

_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}

# Narrower than RFC 5321 on purpose: no quoted local part, no address literal. Without `%` and `!`
# too, with which old relays are told to pass a mail on to another domain than the one checked.
_LOCAL = re.compile(r"[a-z0-9#$&'*+/=?^_`{|}~-]+(\.[a-z0-9#$&'*+/=?^_`{|}~-]+)*", re.IGNORECASE)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)

# encoded to 7 bits, so that no relay has to change the message on its way
_POLICY = SMTP.clone(cte_type="7bit")


class SendEmail(Arguments):
    """Arguments of `send_email`."""

    to: str = Field(max_length=254, description="one address, such as `ada@example.com`")
    subject: str = Field(min_length=1, max_length=500, description="one line")
    body: str = Field(max_length=1_000_000, description="plain text")


def mail_tools(
    smtp_url: str | Callable[[], str] | None = None,
    *,
    sender: str | None = None,
    allowed_domains: Collection[str] | None = None,
) -> list[BaseTool]:
    """Return `send_email`.

    Args:
        smtp_url: `smtp://`, `smtps://` or `smtp+starttls://`, then `user:password@host:port`, of
            which only the host must be there. A function is asked at each call. Without it
            `HITL_SMTP_URL` counts, read at each call, and then `smtp://127.0.0.1:25`.
        sender: `Name <address>` or an address; without it `HITL_MAIL_FROM`, read at each call.
        allowed_domains: the domains that may be written to, each by its full name; None is any.
    """
    domains = None if allowed_domains is None else {name.lower() for name in allowed_domains}

    def send_email(to: str, subject: str, body: str) -> dict[str, Any]:
        """Send a plain-text mail to one recipient. It cannot be taken back."""
        recipient = address(to)
        if domains is not None and recipient.domain.lower() not in domains:
            raise ToolException(
                f"the domain of `{to}` is not allowed; write to one of "
                + ", ".join(f"`{name}`" for name in sorted(domains))
            )
        message = _message(_sender(sender), recipient, subject, body)
        server = Server.parse(_setting(smtp_url, SMTP_URL) or DEFAULT_URL)
        server.send(message)
        return {"message_id": message["Message-ID"], "to": recipient.addr_spec}

    return [as_tool(send_email, SendEmail)]


def address(text: str) -> Address:
    """Parse one plain address.

    Raises:
        ToolException: it is none, or more than one, or in a form that is not accepted here.
    """
    refuse_control_characters("address", text)
    local, _, domain = text.rpartition("@")
    if not _LOCAL.fullmatch(local) or len(local) > 64:  # noqa: PLR2004  RFC 5321
        raise ToolException(f"`{text}` is not one plain mail address; write `name@example.com`")
    if not _DOMAIN.fullmatch(domain) or domain.rpartition(".")[2].isdigit():
        raise ToolException(f"`{domain}` is no domain; one beyond ASCII is written as `xn--…`")
    return Address(username=local, domain=domain)


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server and how to speak to it.

    Args:
        scheme: `smtp`, `smtps` (TLS from the start) or `smtp+starttls` (TLS or nothing).
        host: its name or address.
        port: its TCP port.
        user: who logs in; empty for nobody.
        password: never shown.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Server:
        """Read a URL.

        Raises:
            ToolException: it names no server; the message does not repeat it, for it may hold a
                password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError) as error:
            known = ", ".join(f"`{scheme}://`" for scheme in _PORTS)
            raise ToolException(f"the SMTP URL is wrong; it starts with one of {known}") from error
        if not parts.hostname:
            raise ToolException(f"the SMTP URL names no host; write `{DEFAULT_URL}`")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port, user, password)

    def send(self, message: EmailMessage) -> None:
        """Hand the message over.

        Raises:
            ToolException: it was not sent; or, as the message then says, nobody knows.
        """
        try:
            client = self._connect()
        except (OSError, smtplib.SMTPException) as error:
            raise ToolException(
                f"the mail was not sent: `{self.host}:{self.port}` {_reason(error)}"
            ) from error
        try:
            client.send_message(message)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
            raise ToolException(f"the mail was not sent: the server {_reason(error)}") from error
        except (OSError, smtplib.SMTPException) as error:
            # the server may have taken it before its answer was lost
            raise UnknownOutcome(
                f"the server {_reason(error)}; it is not known whether the mail was sent, so do "
                "not send it again before someone has looked"
            ) from error
        finally:
            # a server that does not say goodbye has taken the mail all the same
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()

    def _connect(self) -> smtplib.SMTP:
        if self.scheme == "smtps":
            context = ssl.create_default_context()
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT, context=context
            )
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)
        try:
            if self.scheme == "smtp+starttls":
                client.starttls(context=ssl.create_default_context())
            if self.user:
                client.login(self.user, self.password)
        except BaseException:
            client.close()
            raise
        return client


def _setting(given: str | Callable[[], str] | None, variable: str) -> str | None:
    if callable(given):
        return given()
    return given or os.environ.get(variable)


def _sender(given: str | None) -> Address:
    text = _setting(given, MAIL_FROM)
    if not text:
        raise ToolException(f"no sender is configured; set {MAIL_FROM}")
    name, plain = parseaddr(text)
    sender = address(plain)
    return Address(display_name=name, username=sender.username, domain=sender.domain)


def _message(sender: Address, recipient: Address, subject: str, body: str) -> EmailMessage:
    refuse_control_characters("subject", subject)
    refuse_control_characters("body", body, allowed="\r\n\t")
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=sender.domain)
    message.set_content(body)
    return message


def _reason(error: Exception) -> str:
    """Say what the server did, in its own words where it has some, without a password."""
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "did not answer in time"
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"refused the login ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()))
            return f"refused the recipient ({code} {_printable(text)})"
        case smtplib.SMTPResponseException():
            return f"refused it ({error.smtp_code} {_printable(error.smtp_error)})"
        case OSError() if error.strerror:
            return f"cannot be reached ({error.strerror.lower()})"
    return f"broke off ({_printable(str(error))})"


def _printable(text: bytes | str) -> str:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return "".join(part if part.isprintable() else " " for part in said)[:200]
