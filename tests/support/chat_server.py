"""A model that says what it is told to, over real HTTP in the chat-completions protocol."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 7
"""Characters of one streamed piece: small, so that names, ids and numbers are cut through."""


@dataclass(frozen=True)
class Call:
    """A tool call as it goes over the wire.

    Args:
        name: the tool.
        arguments: JSON text, well formed or not; an object is written as JSON.
        id: None leaves the key out.
    """

    name: str
    arguments: Any
    id: str | None = None

    def to_json(self) -> dict[str, Any]:
        text = self.arguments
        if not isinstance(text, str):
            text = json.dumps(text)
        call = {"type": "function", "function": {"name": self.name, "arguments": text}}
        return call if self.id is None else {"id": self.id, **call}


@dataclass(frozen=True)
class Say:
    """An answer: text, calls, or both."""

    text: str = ""
    calls: Sequence[Call] = ()
    finish_reason: str | None = None

    @property
    def finished(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True)
class Fail:
    """An HTTP error."""

    status: int
    message: str = "no"


@dataclass(frozen=True)
class Raw:
    """A body that is no answer of the protocol."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Hang:
    """No answer, until the client or the test gives up."""


@dataclass(frozen=True)
class BreakOff:
    """An answer that ends in the middle, streamed or not."""

    say: Say


Answer = Say | Fail | Raw | Hang | BreakOff


class ChatServer:
    """Answers one request after the other with what the script says, and remembers them.

    Args:
        script: one answer for each request; a request beyond it is an HTTP error.
    """

    def __init__(self, *script: Answer) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._script = list(script)
        self._lock = threading.Lock()
        self._released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = False  # joined by server_close
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def left(self) -> int:
        """Answers that nobody has asked for."""
        return len(self._script)

    def then(self, *script: Answer) -> None:
        """Add answers."""
        with self._lock:
            self._script.extend(script)

    def messages(self, request: int = -1) -> list[dict[str, Any]]:
        """Return the conversation as a request gave it."""
        return self.requests[request]["messages"]

    def results(self, request: int = -1) -> dict[str, str]:
        """Return what a request says of each call, by call id."""
        return {
            one["tool_call_id"]: _text(one["content"])
            for one in self.messages(request)
            if one["role"] == "tool"
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _answer(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["content-length"])))
        with self._lock:
            self.requests.append(body)
            self.keys.append(http.headers.get("authorization"))
            answer = self._script.pop(0) if self._script else Fail(418, "the script is over")
        if http.path != "/v1/chat/completions":
            answer = Fail(404, f"{http.path} is no chat completion")
        elif problem := protocol_problem(body):
            answer = Fail(400, problem)
        match answer:
            case Say():
                _say(http, answer, stream=bool(body.get("stream")))
            case BreakOff():
                _break_off(http, answer.say, stream=bool(body.get("stream")))
            case Fail():
                error = {"error": {"message": answer.message, "type": "scripted", "code": None}}
                _send(http, answer.status, json.dumps(error).encode())
            case Raw():
                _send(http, 200, answer.body, answer.content_type)
            case Hang():
                self._released.wait(60)
                http.close_connection = True


@contextmanager
def chat_server(*script: Answer) -> Iterator[ChatServer]:
    """Run a server for the length of a block."""
    server = ChatServer(*script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def protocol_problem(body: dict[str, Any]) -> str | None:
    """Say what the real service would refuse about a request, or None.

    Each assistant message with calls is followed by one tool message for each of them and nothing
    else before; no id is used twice; arguments are JSON objects; names have letters that are
    allowed.
    """
    waiting: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(body["messages"]):
        where = f"messages.[{index}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return f"{where}: a tool message must answer a preceding call"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return f"{where}: calls {waiting} must be followed by tool messages"
        for call in message.get("tool_calls", []):
            if problem := _call_problem(call, seen):
                return f"{where}: {problem}"
            seen.add(call["id"])
            waiting.append(call["id"])
    return f"calls {waiting} must be followed by tool messages" if waiting else None


def _call_problem(call: dict[str, Any], seen: set[str]) -> str | None:
    name, text = call["function"]["name"], call["function"]["arguments"]
    if not call["id"] or call["id"] in seen:
        return f"the call id {call['id']!r} is missing or used twice"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return f"the function name {name!r} does not match"
    try:
        fits = isinstance(json.loads(text), dict)
    except ValueError:
        fits = False
    return None if fits else f"the arguments of {call['id']} are no JSON object"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(one.get("text", "") for one in content)
    return str(content)


def _say(http: BaseHTTPRequestHandler, say: Say, *, stream: bool) -> None:
    if stream:
        frames = b"".join(_frames(say)) + b"data: [DONE]\n\n"
        _send(http, 200, frames, "text/event-stream")
        return
    message: dict[str, Any] = {"role": "assistant", "content": say.text or None}
    if say.calls:
        message["tool_calls"] = [one.to_json() for one in say.calls]
    choice = {"index": 0, "message": message, "finish_reason": say.finished}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {**_head("chat.completion"), "choices": [choice], "usage": usage}
    _send(http, 200, json.dumps(body).encode())


def _break_off(http: BaseHTTPRequestHandler, say: Say, *, stream: bool) -> None:
    """Promise more than is sent, and hang up."""
    sent = b"".join(list(_frames(say))[:-1]) if stream else b'{"id": "chatc'
    http.send_response(200)
    http.send_header("content-type", "text/event-stream" if stream else "application/json")
    http.send_header("content-length", str(len(sent) + 100))
    http.end_headers()
    http.wfile.write(sent)
    http.close_connection = True


def _frames(say: Say) -> Iterator[bytes]:
    yield _frame({"role": "assistant", "content": ""})
    for start in range(0, len(say.text), PIECE):
        yield _frame({"content": say.text[start : start + PIECE]})
    for index, call in enumerate(say.calls):
        whole = call.to_json()
        text = whole["function"]["arguments"]
        opening = {**whole, "function": {"name": call.name, "arguments": ""}, "index": index}
        yield _frame({"tool_calls": [opening]})
        for start in range(0, len(text), PIECE):
            piece = {"index": index, "function": {"arguments": text[start : start + PIECE]}}
            yield _frame({"tool_calls": [piece]})
    yield _frame({}, say.finished)


def _frame(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {**_head("chat.completion.chunk"), "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _head(kind: str) -> dict[str, Any]:
    # the same id every time, as some servers do
    return {"id": "chatcmpl-1", "object": kind, "created": 1_750_000_000, "model": "gpt-5"}


def _send(
    http: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json"
) -> None:
    http.send_response(status)
    http.send_header("content-type", kind)
    http.send_header("content-length", str(len(body)))
    http.end_headers()
    http.wfile.write(body)
