"""The world outside: an HTTP server in a process of its own that counts what really happened."""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

_PATIENCE = 30.0

_fork = multiprocessing.get_context("fork")


class _World:
    """What the server remembers.

    A request that carries an idempotency key has its effect once, and is answered the same ever
    after; any other has its effect whenever it arrives. `reference` is the caller's own name for
    the effect, which can be asked for later and guards nothing.
    """

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.answers: dict[str, str] = {}
        self.references: dict[str, str] = {}

    def answer(self, method: str, target: str, key: str | None) -> str | None:
        """Do what a request asks for, and return the body of the answer; None for a 404."""
        parts = urlsplit(target)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match method, parts.path.split("/")[1:]:
            case "POST", ["effects", order]:
                if key is not None and key in self.answers:
                    return self.answers[key]
                order = unquote(order)
                self.effects[order] += 1
                done = f"done {order}"
                if key is not None:
                    self.answers[key] = done
                if "reference" in given:
                    self.references[given["reference"]] = done
                return done
            case "GET", ["seen", reference]:
                return self.references.get(unquote(reference))
            case "GET", ["effects"]:
                return json.dumps(self.effects)
            case "GET", ["effects", order]:
                return str(self.effects[unquote(order)])
        return None


async def _serve(world: _World, port: Connection) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                body = world.answer(method, target, headers.get("idempotency-key"))
                await asyncio.sleep(float(headers.get("x-delay", 0)))
                status = "404 Not Found" if body is None else "200 OK"
                text = (body or "").encode()
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller was killed: its effect stands
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
    port.send(listening.sockets[0].getsockname()[1])
    await listening.serve_forever()


class Sink:
    """The way to the server, for workers and for the harness.

    Args:
        port: on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.reached: Callable[[str], None] = lambda _: None
        self.delay = 0.0
        """Seconds between an effect and its answer."""

    def effect(
        self,
        order: str,
        *,
        key: str | None = None,
        reference: str | None = None,
        timeout: float = _PATIENCE,
    ) -> str:
        """Cause an effect and return what the world says of it.

        Args:
            order: what the effect is for; effects are counted by it.
            key: has the effect at most once.
            reference: a name to ask by later, see `seen`.
            timeout: seconds to wait for the answer.

        Raises:
            OSError: there was none; the effect may have happened.
        """
        target = f"/effects/{quote(order, safe='')}"
        if reference is not None:
            target += f"?reference={quote(reference, safe='')}"
        headers = {"x-delay": str(self.delay)} | ({} if key is None else {"idempotency-key": key})
        return self._ask("POST", target, headers, timeout) or ""

    def seen(self, reference: str) -> str | None:
        """Return what came of an effect, or None if it never happened."""
        return self._ask("GET", f"/seen/{quote(reference, safe='')}", {})

    def count(self, order: str) -> int:
        """Return how often an effect happened; asking is no exchange that a worker can die at."""
        return int(self._send("GET", f"/effects/{quote(order, safe='')}", {}) or 0)

    def counts(self) -> dict[str, int]:
        """Return how often each effect happened."""
        counted: dict[str, int] = json.loads(self._send("GET", "/effects", {}) or "{}")
        return counted

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str], timeout: float = _PATIENCE
    ) -> str | None:
        self.reached("before http")
        body = self._send(method, target, headers, timeout)
        self.reached("after http")
        return body

    def _send(
        self, method: str, target: str, headers: Mapping[str, str], timeout: float = _PATIENCE
    ) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, headers=dict(headers))
            answer = connection.getresponse()
            body = answer.read().decode()
            return body if answer.status == http.HTTPStatus.OK else None
        finally:
            connection.close()


def _run(port: Connection) -> Any:
    asyncio.run(_serve(_World(), port))


@contextmanager
def sink() -> Iterator[Sink]:
    """Start the server for the run."""
    here, there = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_run, args=(there,), daemon=True)
    process.start()
    try:
        yield Sink(here.recv())
    finally:
        process.kill()
        process.join()
