"""What a reviewer is shown of a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import All, Interrupt, StateSnapshot

from hitl_agent.graph.compiled import Graph
from hitl_agent.graph.state import task_of
from hitl_agent.review import ReviewRequest
from hitl_agent.storage.interrupts import plain
from hitl_agent.storage.threads import Thread


@dataclass(frozen=True, slots=True)
class ThreadView:
    """Everything a reviewer needs to know of a thread.

    Attributes:
        thread: the thread at its newest checkpoint.
        waiting: the calls that wait for a person.
    """

    thread: Thread
    waiting: Sequence[ReviewRequest]

    @property
    def task(self) -> str:
        """What the thread was asked to do."""
        return task_of(self.thread.messages) or next((one.task for one in self.waiting), "")

    @property
    def asks(self) -> list[Interrupt]:
        """What the thread waits for beside the calls: questions that its graph asks by itself."""
        if not self.waiting:
            return self.thread.interrupts
        return [
            one
            for one in self.thread.interrupts
            if not (isinstance(one.value, Mapping) and "request_id" in one.value)
        ]

    @property
    def results(self) -> list[dict[str, Any]]:
        """What became of each call so far, in order."""
        return [
            {
                "call_id": one.tool_call_id,
                "tool": one.name,
                "outcome": (one.artifact or {}).get("outcome"),
                "content": one.content,
            }
            for one in self.thread.messages
            if isinstance(one, ToolMessage)
        ]

    def _repr_html_(self) -> str:
        # loaded in notebooks alone
        from hitl_agent.thread_html import thread_html  # noqa: PLC0415

        return thread_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the view as plain JSON, as `hitl show --json` prints it."""
        return {
            "thread_id": self.thread.thread_id,
            "graph": self.thread.graph,
            "status": self.thread.status,
            "error": self.thread.error,
            "task": self.task,
            "results": self.results,
            "waiting": [one.to_json() for one in self.waiting],
            "interrupts": [{"id": one.id, "value": plain(one.value)} for one in self.asks],
            "final": _final(self.thread),
            "updated_at": self.thread.updated_at.isoformat(),
        }


def _final(thread: Thread) -> str | None:
    """Return the planner's last message of a thread that ended."""
    if thread.status in ("done", "failed") and thread.messages:
        last = thread.messages[-1]
        return last.text if last.type == "ai" else None
    return None


def as_its_graph_sees(graph: Graph, thread: Thread) -> Thread:
    """Return a thread with what only its graph knows: which tasks it has, where it breaks off.

    Args:
        graph: the thread's graph, over the same database.
        thread: the thread, as its rows tell it.

    Raises:
        CheckpointRefused: its state holds what the graph does not declare.
    """
    config: RunnableConfig = {"configurable": {"thread_id": thread.thread_id}}
    state = graph.get_state(config)
    if state.interrupts:
        return replace(thread, status="waiting", interrupts=list(state.interrupts))
    if not state.tasks:
        ended = replace(thread, interrupts=[])
        return ended if thread.status == "failed" else replace(ended, status="done")
    if any(task.error for task in state.tasks):
        return replace(thread, status="failed", interrupts=[])
    broke = thread.status == "breakpoint" or _breaks(graph, state)
    return replace(thread, status="breakpoint" if broke else "running", interrupts=[])


def _breaks(graph: Graph, state: StateSnapshot) -> bool:
    """Whether a thread stands where its graph was told to break off: before or after a node."""
    if _among(state, graph.interrupt_before_nodes):
        return True
    before = state.parent_config
    return before is not None and _among(graph.get_state(before), graph.interrupt_after_nodes)


def _among(state: StateSnapshot, nodes: All | Sequence[str]) -> bool:
    return any(nodes == "*" or task.name in nodes for task in state.tasks)
