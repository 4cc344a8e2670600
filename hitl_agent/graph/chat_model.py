"""A planner that asks a chat model."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import ToolCall as MessageToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.tools import BaseTool
from pydantic import ValidationError

from hitl_agent.calls import clean_text
from hitl_agent.errors import ConfigurationError, PlannerError
from hitl_agent.graph.state import AgentState

MODEL = "HITL_MODEL"

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64
_LONGEST_REASON = 500
_UNANSWERED = "the call was not run: the conversation went on before it was decided"


class ChatModelPlanner:
    """Plans with any LangChain chat model that can call tools.

    Args:
        model: a chat model, or its name such as `openai:gpt-5`. Without one, the state's `model`
            or the environment's `HITL_MODEL` names it, so that one exported graph serves any.
        system_prompt: what the model is told first.
        model_options: keyword arguments for a model given by name, such as `timeout`.
    """

    def __init__(
        self,
        model: BaseChatModel | str | None = None,
        *,
        system_prompt: str = "",
        **model_options: Any,
    ) -> None:
        self._model = model
        self._system_prompt = system_prompt
        self._options = model_options
        self._named: dict[str, BaseChatModel] = {}

    def plan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Ask the model for the next turn."""
        model, messages, pieces = self._bound(state, tools), self._messages(state, tools), _Pieces()
        try:
            message = model.invoke(messages, merge_configs(config, {"callbacks": [pieces]}))
        except Exception as error:
            raise _failed(error) from error
        return pieces.read(message)

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Ask the model for the next turn, awaiting it."""
        # in a thread: a model that is named imports its package and reads certificates
        model = await asyncio.to_thread(self._bound, state, tools)
        messages, pieces = self._messages(state, tools), _Pieces()
        try:
            message = await model.ainvoke(messages, merge_configs(config, {"callbacks": [pieces]}))
        except Exception as error:
            raise _failed(error) from error
        return pieces.read(message)

    def _messages(self, state: AgentState, tools: Sequence[BaseTool]) -> list[BaseMessage]:
        first = [SystemMessage(self._system_prompt)] if self._system_prompt else []
        return [*first, *_told(state["messages"], {tool.name for tool in tools})]

    def _bound(self, state: AgentState, tools: Sequence[BaseTool]) -> Runnable[Any, AIMessage]:
        model = self._model or state.get("model") or os.environ.get(MODEL)
        if not model:
            raise PlannerError(
                "the thread names neither a runbook nor a model",
                hint="start it with `--runbook FILE` or `--model openai:gpt-5`",
            )
        if isinstance(model, str):
            if model not in self._named:
                self._named[model] = _named_model(model, self._options)
            model = self._named[model]
        if not isinstance(model, Runnable):
            raise ConfigurationError(
                f"`{type(model).__name__}` is no chat model, nor the name of one",
                hint="name one like `openai:gpt-5`",
            )
        if not tools:
            return model
        try:
            return model.bind_tools(list(tools))
        except (AttributeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"`{type(model).__name__}` is no chat model that can call tools",
                hint="name one like `openai:gpt-5`",
            ) from error


class _Pieces(BaseCallbackHandler):
    """The pieces of a streamed message, of which its calls are read as the model wrote them.

    LangChain completes arguments that were cut off: of `{"amount": 100` the first half is
    `{"amount": 10}`, a call that nobody planned. Here they are what they are without streaming,
    malformed.
    """

    run_inline = True

    def __init__(self) -> None:
        self._pieces: list[AIMessageChunk] = []

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Forget the pieces of an attempt that failed."""
        self._pieces = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Keep a piece."""
        message = getattr(chunk, "message", None)
        if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
            self._pieces.append(message)

    def read(self, message: AIMessage) -> AIMessage:
        """Return the message with its calls as they were written, if it came in pieces."""
        if not self._pieces:
            return message
        whole = add_ai_message_chunks(*self._pieces)
        calls: list[MessageToolCall] = []
        invalid: list[InvalidToolCall] = []
        for piece in whole.tool_call_chunks:
            text = piece["args"]
            try:
                args = json.loads(text, strict=False) if text else {}
            except (ValueError, RecursionError) as error:
                why = f"the arguments are no JSON: {error}"
                invalid.append(
                    invalid_tool_call(name=piece["name"], args=text, id=piece["id"], error=why)
                )
            else:
                calls.append(tool_call(name=piece["name"] or "", args=args, id=piece["id"]))
        return message.model_copy(update={"tool_calls": calls, "invalid_tool_calls": invalid})


def _told(messages: Sequence[BaseMessage], tools: Collection[str]) -> Iterator[BaseMessage]:
    """Give the conversation in a form that every provider takes; one it refuses, it always refuses.

    A malformed call is sent as a call, for most clients send no other kind, and an answer to a call
    that was not sent is refused. The name of a tool that does not exist is written with letters
    that a name may have. A call that has no answer, because the person went on talking, is said
    not to have run.
    """
    answered = {one.tool_call_id for one in messages if isinstance(one, ToolMessage)}
    for message in messages:
        if not isinstance(message, AIMessage):
            yield message
            continue
        calls = [
            *message.tool_calls,
            *(
                tool_call(name=bad["name"] or "", args={"malformed": bad["args"]}, id=bad["id"])
                for bad in message.invalid_tool_calls
            ),
        ]
        sent = [
            one if one["name"] in tools else {**one, "name": _name(one["name"])} for one in calls
        ]
        yield message.model_copy(update={"tool_calls": sent, "invalid_tool_calls": []})
        for one in calls:
            if one["id"] not in answered:
                yield ToolMessage(_UNANSWERED, tool_call_id=one["id"] or "", status="error")


def _name(name: str) -> str:
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME] or "unknown"


def _named_model(name: str, options: dict[str, Any]) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415  an extra

        model = init_chat_model(name, **options)
    except ImportError as error:
        raise ConfigurationError(
            f"the model `{name}` cannot be loaded: {_reason(error)}",
            hint="install `hitl-agent[models]` and the provider's package",
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"the model `{name}` cannot be set up: {_reason(error)}",
            hint="name it like `openai:gpt-5` and set the provider's API key",
        ) from error
    if not isinstance(model, BaseChatModel):
        raise ConfigurationError(
            f"`{name}` names no chat model", hint="name one like `openai:gpt-5`"
        )
    return model


def _failed(error: Exception) -> PlannerError:
    return PlannerError(
        f"the model failed: {type(error).__name__}: {_reason(error)}",
        hint="resume the thread to ask it again",
    )


def _reason(error: Exception) -> str:
    """Return an error's text on one line, without the values pydantic repeats: one may be a key."""
    if isinstance(error, ValidationError):
        text = "; ".join(one["msg"] for one in error.errors(include_input=False))
    else:
        text = str(error)
    text = " ".join(clean_text(text).split())
    return text[:_LONGEST_REASON] or "no message"
