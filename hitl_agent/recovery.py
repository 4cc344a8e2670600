"""Going on with threads that nobody drives any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hitl_agent.errors import HitlError, NothingWaiting, ThreadBusy, UnknownThread
from hitl_agent.runtime import Graph, Runtime
from hitl_agent.storage.leases import Halted


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a thread that was found halfway.

    Attributes:
        thread_id: LangGraph's thread.
        status: where it stands now; see `Thread.status`. `busy` if another process was faster.
        error: why it did not go on, or None.
    """

    thread_id: str
    status: str
    error: Exception | None = None

    @property
    def hint(self) -> str | None:
        """What to do next, where the error says it."""
        return self.error.hint if isinstance(self.error, HitlError) else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, as `hitl recover --json` prints it."""
        return {
            "thread_id": self.thread_id,
            "status": self.status,
            "error": str(self.error) or type(self.error).__name__ if self.error else None,
            "hint": self.hint,
        }


def recover(
    runtime: Runtime, graph_of: Callable[[str], Graph], *, limit: int = 100
) -> Iterator[Recovered]:
    """Go on with every thread that was left halfway, longest ago first.

    Those are threads whose process is gone or failed in the middle, and threads whose decision
    nobody has taken up. A thread is finished when its state has no
    tasks; `next` alone may be empty after a crash. What one thread fails with does not keep the
    others.

    Args:
        runtime: where the threads are.
        graph_of: returns the compiled graph of a thread; raises `HitlError` if there is none.
        limit: at most so many.
    """
    for halted in runtime.leases.halted(limit=limit):
        try:
            status = _go_on(runtime, graph_of, halted)
        except ThreadBusy:
            yield Recovered(halted.thread_id, "busy")
        except UnknownThread as error:  # its process ended before it had begun; told once
            with suppress(ThreadBusy):
                runtime.leases.settle(halted)
            yield Recovered(halted.thread_id, "failed", error)
        except Exception as error:  # noqa: BLE001  of graphs that are not ours it may be anything
            with suppress(ThreadBusy):
                runtime.leases.postpone(halted)
            yield Recovered(halted.thread_id, "failed", error)
        else:
            yield Recovered(halted.thread_id, status)


def _go_on(runtime: Runtime, graph_of: Callable[[str], Graph], halted: Halted) -> str:
    thread_id = halted.thread_id
    graph = graph_of(thread_id)
    try:
        graph_input = runtime.resume_input(graph, thread_id)
    except NothingWaiting:
        runtime.leases.settle(halted)
    else:
        if graph_input is None and not halted.left:
            runtime.leases.settle(halted)
        else:  # a process that is gone may have left calls about which nobody was asked yet
            graph.invoke(graph_input, runtime.config(thread_id))
    return runtime.thread(thread_id).thread.status
