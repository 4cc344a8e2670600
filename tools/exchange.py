"""One HTTP request and its answer, over a connection to an address that was chosen before."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from langchain_core.tools import ToolException

from tools.outcome import UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.addresses import Target


@dataclass(frozen=True, slots=True)
class Request:
    """What to send."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Args:
        status: 100 to 999.
        headers: names in lower case; of several with one name, the first.
        body: as sent, up to the limit.
        truncated: there was more.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class Deadline:
    """Ends a connection when the time is up, whatever it is doing.

    A socket's timeout limits each wait. A server that sends a byte now and then never runs into
    it, so a timer shuts the connection down and every read on it ends at once.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._watched: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._shut_down = False

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            ToolException: there are none.
        """
        if self.passed:
            raise ToolException("the time for the request is up; ask for less, or another server")
        return self._end - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self._shut_down or time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> Self:
        """Watch over a connection; use the result as a context."""
        self._timer = threading.Timer(self.remaining(), self._shut)
        self._timer.daemon = True
        # a descriptor of its own: TLS takes the first one over
        self._watched = connection.dup()
        return self

    def __enter__(self) -> Self:
        if self._timer:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer and self._watched:
            self._timer.cancel()
            self._timer.join()
            self._watched.close()

    def _shut(self) -> None:
        self._shut_down = True
        if self._watched:
            with suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)


def send(request: Request, addresses: Sequence[str], deadline: Deadline, max_bytes: int) -> Answer:
    """Send the request to the first of `addresses` that takes a connection.

    TLS is checked for the target's name, not for the address.

    Args:
        request: with all headers but `Host` and `Content-Length`.
        addresses: checked IP addresses; no name is resolved here and no proxy is used.
        deadline: for everything together.
        max_bytes: how much of the body is kept.

    Raises:
        ToolException: no connection, no valid certificate, no HTTP, or no time left.
    """
    target = request.target
    with (
        closing(_connect(target, addresses, deadline)) as plain,
        deadline.watch(plain),
        closing(http.client.HTTPConnection(target.host, target.port)) as connection,
    ):
        connection.auto_open = 0  # it must never open a connection by itself
        try:
            connection.sock = _secured(plain, target)
            connection.request(
                request.method,
                target.path,
                body=request.body,
                headers={"Host": target.authority, **request.headers},
            )
            answer = _read(connection, max_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise _problem(request, error, late=deadline.passed) from error
        # a body without a length looks complete when it was the timer that ended it
        if deadline.passed:
            raise _problem(request, TimeoutError(), late=True)
        return answer


def _connect(target: Target, addresses: Sequence[str], deadline: Deadline) -> socket.socket:
    for address in addresses:
        try:
            return socket.create_connection((address, target.port), deadline.remaining())
        except OSError as error:
            problem = error
    raise ToolException(
        f"`{target.authority}` takes no connection; check host and port"
    ) from problem


def _secured(plain: socket.socket, target: Target) -> socket.socket:
    if target.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)


def _read(connection: http.client.HTTPConnection, max_bytes: int) -> Answer:
    with connection.getresponse() as response:
        body = response.read(max_bytes + 1)
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            headers.setdefault(name.lower(), value)
        return Answer(response.status, headers, body[:max_bytes], len(body) > max_bytes)


def _problem(request: Request, error: Exception, *, late: bool) -> ToolException:
    where = f"`{request.target.authority}`"
    match error:
        case ssl.SSLCertVerificationError():
            return ToolException(f"{where} has no valid certificate: {error.verify_message}")
        case ssl.SSLError() if not late:
            return ToolException(f"{where} speaks no TLS that is understood here")
    what = "did not answer in time" if late else "broke off, or does not speak HTTP"
    if request.method == "GET":
        return ToolException(f"{where} {what}")
    return UnknownOutcome(f"{where} {what}; it is not known whether it did what was asked")
