"""A planner that asks a chat model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool

from hitl_agent.calls import clean_text
from hitl_agent.errors import ConfigurationError, PlannerError
from hitl_agent.graph.state import AgentState

MODEL = "HITL_MODEL"


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
        model = self._bound(state, tools)
        try:
            return model.invoke(self._messages(state), config)
        except Exception as error:
            raise _failed(error) from error

    async def aplan(
        self, state: AgentState, tools: Sequence[BaseTool], config: RunnableConfig
    ) -> AIMessage:
        """Ask the model for the next turn, awaiting it."""
        model = self._bound(state, tools)
        try:
            return await model.ainvoke(self._messages(state), config)
        except Exception as error:
            raise _failed(error) from error

    def _messages(self, state: AgentState) -> list[BaseMessage]:
        first = [SystemMessage(self._system_prompt)] if self._system_prompt else []
        return [*first, *state["messages"]]

    def _bound(
        self, state: AgentState, tools: Sequence[BaseTool]
    ) -> Runnable[Any, AIMessage]:
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
        return model.bind_tools(list(tools)) if tools else model


def _named_model(name: str, options: dict[str, Any]) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415  an extra

        model = init_chat_model(name, **options)
    except ImportError as error:
        raise ConfigurationError(
            f"the model `{name}` cannot be loaded: {error}",
            hint="install `hitl-agent[models]` and the provider's package",
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"the model `{name}` cannot be set up: {error}",
            hint="name it like `openai:gpt-5` and set the provider's API key",
        ) from error
    if not isinstance(model, BaseChatModel):
        raise ConfigurationError(f"`{name}` names no chat model")
    return model


def _failed(error: Exception) -> PlannerError:
    text = clean_text(str(error)).strip().splitlines()
    return PlannerError(
        f"the model failed: {type(error).__name__}: {text[0] if text else 'no message'}",
        hint="resume the thread to ask it again",
    )
