"""A chat model without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class Scripted(BaseChatModel):
    """Says what it was given, by the number of turns it took before, then that it is done."""

    turns: Sequence[AIMessage]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        said = sum(isinstance(one, AIMessage) for one in messages)
        message = self.turns[said] if said < len(self.turns) else AIMessage("done")
        return ChatResult(generations=[ChatGeneration(message=message.model_copy())])
