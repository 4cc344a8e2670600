"""A compiled graph that is driven under a lease and shows itself without the network."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import UnknownInterruptError
from langgraph.pregel import Pregel
from langgraph.pregel._utils import is_xxh3_128_hexdigest
from langgraph.types import Command, StateSnapshot, StateUpdate

from hitl_agent.errors import InvalidDecision, StaleDecision
from hitl_agent.graph.gate import LEASES, actor_of
from hitl_agent.storage.checkpoints import LEASE, lease_of
from hitl_agent.storage.leases import Lease, Leases

_INSIDE = "__pregel_task_id"  # LangGraph's mark of a graph that runs inside a node of another one


class Graph(Pregel[Any, Any, Any, Any]):
    """LangGraph's compiled graph, of which one process at a time drives a thread.

    Every way to run it and to write its state takes the thread's lease, and raises `ThreadBusy`
    while another process has it. In a notebook its picture is Mermaid text: LangGraph's own display
    sends the graph to a web service for the picture. Jupyter and VS Code draw Mermaid in Markdown
    by themselves; elsewhere the text is shown.
    """

    @classmethod
    def of(
        cls, compiled: Pregel[Any, Any, Any, Any], checkpointer: Any, config: RunnableConfig
    ) -> Graph:
        """Return a graph as one of ours, over a checkpointer, with a config bound to it."""
        # a plain copy: LangGraph's own leaves out what it keeps for states that are pydantic models
        graph = copy.copy(compiled)
        graph.__class__ = _driven(type(compiled))
        graph.checkpointer = checkpointer
        graph.config = merge_configs(compiled.config, config)
        return cast("Graph", graph)

    def stream(self, input: Any, config: RunnableConfig | None = None, **how: Any) -> Iterator[Any]:  # noqa: A002  LangGraph's name
        """Stream steps as LangGraph does, under the thread's lease."""
        with self._driven(config, resumes=_resumes(input)) as leased, _told():
            if to_address := self._to_address(input, leased):
                input = _addressed(input, self.get_state(to_address))  # noqa: A001
            yield from super().stream(input, leased, **how)

    async def astream(
        self,
        input: Any,  # noqa: A002  LangGraph's name
        config: RunnableConfig | None = None,
        **how: Any,
    ) -> AsyncIterator[Any]:
        """Stream steps as LangGraph does, under the thread's lease."""
        async with self._adriven(config, resumes=_resumes(input)) as leased:
            with _told():
                if to_address := self._to_address(input, leased):
                    state = await self.aget_state(to_address)
                    input = _addressed(input, state)  # noqa: A001
                async for chunk in super().astream(input, leased, **how):
                    yield chunk

    def bulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Write state as LangGraph does, under the thread's lease; `update_state` comes by here."""
        with self._driven(config, resumes=True) as leased:
            return _unleased(super().bulk_update_state(leased or config, supersteps))

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Write state as LangGraph does, under the thread's lease."""
        async with self._adriven(config, resumes=True) as leased:
            return _unleased(await super().abulk_update_state(leased or config, supersteps))

    @contextmanager
    def _driven(
        self, config: RunnableConfig | None, *, resumes: bool
    ) -> Iterator[RunnableConfig | None]:
        if (wanted := self._wanted(config)) is None:
            yield config
            return
        with wanted.leases.held(wanted.thread_id, actor=wanted.actor, resumes=resumes) as lease:
            yield _leased(config, lease)

    @asynccontextmanager
    async def _adriven(
        self, config: RunnableConfig | None, *, resumes: bool
    ) -> AsyncIterator[RunnableConfig | None]:
        if (wanted := self._wanted(config)) is None:
            yield config
            return
        lease = await _taken(wanted, resumes=resumes)
        halted = True
        try:
            yield _leased(config, lease)
            halted = False
        finally:
            await asyncio.shield(asyncio.to_thread(wanted.leases.release, lease, halted=halted))

    def _wanted(self, config: RunnableConfig | None) -> _Wanted | None:
        """Return which lease this run has to take, if any.

        A graph inside a node of another one, on the same thread, runs under that one's lease. If
        that one has none, it writes the thread's checkpoints without a token, and the executor
        takes a lease for the attempt alone.
        """
        # only to look at: it fills in limits that are not LangGraph's
        full = ensure_config(merge_configs(self.config, config))
        named = full.get("configurable", {})
        leases, thread_id = named.get(LEASES), named.get("thread_id")
        inside = _INSIDE in named and LEASE not in named
        if not isinstance(leases, Leases) or not thread_id or inside or lease_of(full):
            return None
        return _Wanted(leases, str(thread_id), actor_of(full))

    def _to_address(self, graph_input: Any, config: RunnableConfig | None) -> RunnableConfig | None:
        """Return where an answer that names no interrupt finds those that wait; else None.

        Raises:
            CheckpointRefused: no checkpoint can hold the answer; the thread is as it was.
        """
        answer = graph_input.resume if isinstance(graph_input, Command) else None
        named = merge_configs(self.config, config).get("configurable", {})
        if config is None or answer is None or "thread_id" not in named or _INSIDE in named:
            return None
        if isinstance(self.checkpointer, BaseCheckpointSaver):
            self.checkpointer.serde.dumps_typed(answer)
        by_id = isinstance(answer, Mapping) and all(
            isinstance(one, str) and is_xxh3_128_hexdigest(one) for one in answer
        )
        return None if answer and by_id else config

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        mermaid = self.get_graph().draw_mermaid()
        return {"text/plain": mermaid, "text/markdown": f"```mermaid\n{mermaid}```"}


@cache
def _driven(kind: type[Pregel[Any, Any, Any, Any]]) -> type[Graph]:
    """Return the kind of graph that is driven under a lease and else is of another kind."""
    if issubclass(kind, Graph):
        return kind
    return type(kind.__name__, (Graph, kind), {"__module__": kind.__module__})


@contextmanager
def _told() -> Iterator[None]:
    """Say in our words that an answer came after its question had ended."""
    try:
        yield
    except UnknownInterruptError as error:
        raise StaleDecision(
            f"an answer came too late, its question no longer waits: {error}",
            hint="continue without it, see `hitl recover`",
        ) from error


def _addressed(given: Command[Any], state: StateSnapshot) -> Command[Any]:
    """Return an answer by the ids of the interrupts that wait.

    LangGraph keeps one without an id in the checkpoint, and delivers it again with every run.
    Several are answered by a batch of as many decisions, if these are the same: LangGraph lists
    interrupts as they come, by no order that a client could rely on.

    Args:
        given: with an answer that names no interrupt.
        state: of the thread.

    Raises:
        InvalidDecision: several wait, and nobody can tell which of them is meant.
    """
    ids = list(dict.fromkeys(one.id for one in state.interrupts))
    answers: Any = [given.resume]
    if len(ids) > 1:
        answers = given.resume.get("decisions") if isinstance(given.resume, Mapping) else None
        same = isinstance(answers, list) and all(one == answers[0] for one in answers)
        if not same or len(answers) != len(ids):
            raise InvalidDecision(
                f"{len(ids)} interrupts wait, and the answer does not say which of them it is for",
                hint=f"answer by id: {', '.join(ids)}",
            )
    return replace(given, resume=dict(zip(ids, answers, strict=True))) if ids else given


def _resumes(graph_input: Any) -> bool:
    return graph_input is None or isinstance(graph_input, Command)


@dataclass(frozen=True, slots=True)
class _Wanted:
    leases: Leases
    thread_id: str
    actor: str | None


async def _taken(wanted: _Wanted, *, resumes: bool) -> Lease:
    """Take a lease in a thread. One that comes when nobody waits for it any more is given back."""
    leases, taken, gone = wanted.leases, list[Lease](), threading.Event()

    def take() -> Lease:
        lease = leases.take(wanted.thread_id, actor=wanted.actor, resumes=resumes)
        taken.append(lease)
        if gone.is_set():
            leases.release(lease, halted=True)
        return lease

    try:
        return await asyncio.to_thread(take)
    except asyncio.CancelledError:
        gone.set()
        for lease in taken:  # it came at that very moment
            await asyncio.shield(asyncio.to_thread(leases.release, lease, halted=True))
        raise


def _leased(config: RunnableConfig | None, lease: Lease) -> RunnableConfig:
    return merge_configs(config, {"configurable": {LEASE: lease}})


def _unleased(config: RunnableConfig) -> RunnableConfig:
    """Take the lease, which is given back, out of a config that goes to the caller."""
    named = {k: v for k, v in config.get("configurable", {}).items() if k != LEASE}
    return {**config, "configurable": named}
