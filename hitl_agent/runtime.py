"""The runtime: one database, its checkpoints, and what people do with waiting threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command

from hitl_agent.calls import canonical, clean_text
from hitl_agent.errors import (
    ConfigurationError,
    InvalidCall,
    InvalidDecision,
    NothingWaiting,
    UnknownThread,
)
from hitl_agent.graph.compiled import Graph
from hitl_agent.graph.declared import declared_types
from hitl_agent.graph.gate import DATABASE, GRAPH, LEASES, utc_now
from hitl_agent.history import History
from hitl_agent.review import Decision, Outcome, Requests, ReviewRequest, read_answer
from hitl_agent.review.rendering import command
from hitl_agent.storage import interrupts, record, reviews, threads
from hitl_agent.storage.checkpoints import Checkpointer
from hitl_agent.storage.database import Database, shared_database
from hitl_agent.storage.encryption import configured_cipher
from hitl_agent.storage.interrupts import Asked
from hitl_agent.storage.leases import TTL, Leases
from hitl_agent.storage.threads import Thread
from hitl_agent.thread_view import ThreadView, as_its_graph_sees

__all__ = ["Graph", "Runtime", "ThreadView"]


class Runtime:
    """Owns the database and the checkpoints; open it with `Runtime.open`.

    Args:
        database: an open database.
        clock: returns the time, with its zone.
        lease_ttl: see `Runtime.open`.
        allow: see `Runtime.open`.
        encryption_key: see `Runtime.open`.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = utc_now,
        lease_ttl: timedelta = TTL,
        allow: Iterable[type] = (),
        encryption_key: str | None = None,
    ) -> None:
        self.database = database
        self.leases = Leases(database, clock, lease_ttl)
        self._cipher = configured_cipher(encryption_key)
        self.checkpointer = Checkpointer(database, allow=allow, cipher=self._cipher)
        self._clock = clock

    @classmethod
    @contextmanager
    def open(
        cls,
        database_url: str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        lease_ttl: timedelta = TTL,
        allow: Iterable[type] = (),
        encryption_key: str | None = None,
    ) -> Iterator[Runtime]:
        """Open the database that the argument or `HITL_DATABASE_URL` names, or the embedded one.

        Args:
            database_url: a `postgresql://` URL.
            clock: returns the time, with its zone.
            lease_ttl: how long a thread whose process is gone is left alone.
            allow: types of your own that may stand in checkpoints although the graph's state does
                not declare them: models, dataclasses, enumerations, named tuples.
            encryption_key: encrypts the checkpoints, instead of `HITL_ENCRYPTION_KEY`: 32 bytes in
                base64; older keys, which only decrypt, after it and a comma.

        Raises:
            ConfigurationError: a key or a type cannot be used.
            DatabaseUnavailable: no connection.
            DatabaseNotReady: the server is too old, or `hitl db migrate` is due.
        """
        database = shared_database(database_url)
        yield cls(
            database, clock=clock, lease_ttl=lease_ttl, allow=allow, encryption_key=encryption_key
        )

    def compile(
        self,
        graph: StateGraph[Any, Any, Any, Any] | Pregel[Any, Any, Any, Any],
        *,
        name: str = "graph",
    ) -> Graph:
        """Compile a graph over this database.

        It writes each checkpoint before it goes on (`durability="sync"`) and takes answers by
        interrupt id only. The types that its state declares may stand in its checkpoints.

        Args:
            graph: what `build_graph` returned, any other builder, or what is compiled already: an
                agent of LangChain's `create_agent`, an `@entrypoint`. That one's own checkpointer
                is not used.
            name: the graph's name, by which the CLI finds it in `langgraph.json`.
        """
        compiled = graph.compile(name=name) if isinstance(graph, StateGraph) else graph
        checkpointer = self.checkpointer.allowing(declared_types(graph))
        config: RunnableConfig = {
            "configurable": {
                DATABASE: self.database,
                LEASES: self.leases,
                "__pregel_durability": "sync",
                "__pregel_strict_resume": True,
            },
            "metadata": {GRAPH: name},
        }
        return Graph.of(compiled, checkpointer, config)

    def waiting(
        self,
        thread_id: str | None = None,
        *,
        graph: str | None = None,
        tool: str | None = None,
        tier: str | None = None,
        limit: int = 50,
    ) -> Requests:
        """Return the calls that wait for a person: earliest due first, then longest waiting.

        Those under `soft_review` run meanwhile; approving one says that it was right, rejecting it
        that it was not, and stops it if it has not begun.

        Args:
            thread_id: only of this thread.
            graph: only of this graph.
            tool: only of this tool.
            tier: only `hard_gate`, or only `soft_review`.
            limit: at most so many.
        """
        found = reviews.waiting(
            self.database, thread_id=thread_id, graph=graph, tool=tool, tier=tier, limit=limit
        )
        return Requests(found)

    def interrupts(
        self, thread_id: str | None = None, *, graph: str | None = None, limit: int = 50
    ) -> list[Asked]:
        """Return what waits in threads of any graph and is no call of `waiting`, longest first.

        Args:
            thread_id: only of this thread.
            graph: only of threads whose checkpoints name this graph: those that were compiled by
                `compile`, or run by LangGraph's server.
            limit: at most so many.
        """
        return interrupts.asked(
            self.database, cipher=self._cipher, thread_id=thread_id, graph=graph, limit=limit
        )

    def stopped(self, *, graph: str | None = None, limit: int = 50) -> list[Thread]:
        """Return threads of any graph that have not ended and wait for no answer, oldest first.

        Those stand at a breakpoint, have failed, or run: now, or until their process was gone.

        Args:
            graph: see `interrupts`.
            limit: at most so many.
        """
        found = interrupts.stopped(self.database, graph=graph, limit=limit)
        read = [threads.read_if_readable(self.database, self.checkpointer, one) for one in found]
        return [one for one in read if one.status not in ("done", "waiting")]

    def thread(self, thread_id: str, graph: Graph | None = None) -> ThreadView:
        """Return a thread and what waits in it.

        Args:
            thread_id: LangGraph's thread.
            graph: its graph; what only that knows, such as where it has breakpoints, is not told
                without it.

        Raises:
            UnknownThread: the database holds no such thread.
        """
        waiting = self.waiting(thread_id, limit=1000)
        try:
            thread = threads.read_thread(self.database, self.checkpointer, thread_id)
        except UnknownThread:
            if not waiting:
                raise
            thread = threads.driven_elsewhere(waiting)
        if graph is not None and not thread.elsewhere:
            thread = as_its_graph_sees(graph, thread)
        stopped = thread.status == "waiting"
        return ThreadView(thread, [one for one in waiting if stopped or not one.gates])

    def drives(self, thread_id: str) -> bool:
        """Whether the thread's checkpoints are on this database; `langgraph dev` keeps its own."""
        return self.checkpointer.reading().get_tuple(self.config(thread_id)) is not None

    def history(self, thread_id: str, *, limit: int = 1000) -> History:
        """Return checkpoints, verdicts, decisions and executions of a thread, in order of time.

        Of a longer history these are the last.

        Raises:
            UnknownThread: the database holds no such thread.
        """
        config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
        found = [
            {
                "kind": "checkpoint",
                "at": one.checkpoint["ts"],
                "checkpoint_id": one.checkpoint["id"],
                "step": one.metadata.get("step"),
                "source": one.metadata.get("source"),
            }
            for one in self.checkpointer.reading().list(config, limit=limit)
        ]
        found += record.entries(self.database, thread_id, limit=limit)
        if not found:
            raise UnknownThread(
                f"there is no thread `{thread_id}`", hint="see the threads with `hitl list`"
            )
        return History(sorted(found, key=lambda one: str(one["at"]))[-limit:])

    def decide(
        self,
        request: ReviewRequest,
        decision: Decision | Mapping[str, Any],
        *,
        reviewer: str,
        channel: str = "runtime",
    ) -> Outcome:
        """Record a vote on exactly the call that was shown; once it decides, `resume` continues.

        Where the policy wants one person, a vote decides. The same answer of the same person may
        be delivered again: it counts once.

        Args:
            request: what `waiting` returned and the reviewer saw.
            decision: the answer, also in the shapes of LangChain's human-in-the-loop protocol.
            reviewer: who decides.
            channel: the way it came.

        Returns:
            What the votes come to: its `decision` is None while more are wanted.

        Raises:
            InvalidDecision: the answer does not fit what was asked, or does not count because of
                who gives it; nothing is stored.
            StaleDecision: the call no longer waits.
        """
        if isinstance(decision, Mapping):
            decision = read_answer(decision, tool=request.call.tool)
        if not reviewer.strip():
            raise InvalidDecision("a decision needs a reviewer", hint="name one with --as NAME")
        return reviews.decide(
            self.database,
            request,
            request.checked(decision),
            reviewer=reviewer,
            channel=channel,
            now=self._clock(),
        )

    def request(self, thread_id: str, call_id: str) -> ReviewRequest:
        """Return the question about a call that waits.

        Raises:
            UnknownThread: the database holds no such thread.
            StaleDecision: the call was asked about and no longer waits.
            NothingWaiting: the call was never asked about.
        """
        found = reviews.waiting(self.database, thread_id=thread_id, call_id=call_id, limit=1)
        if found:
            return found[0]
        self.thread(thread_id)
        if asked := reviews.asked(self.database, thread_id, call_id):
            raise reviews.stale(self.database, asked, call_id, thread_id)
        raise NothingWaiting(
            f"call `{call_id}` of thread `{thread_id}` does not wait for a decision",
            hint=f"see `{command('show', thread_id)}`",
        )

    def start_input(self, task: str, **state: Any) -> dict[str, Any]:
        """Return the input that starts a thread on a task.

        Args:
            task: what the agent is asked; what no database can hold of it becomes U+FFFD.
            state: further keys of the state, such as `runbook` or `model`.

        Raises:
            ConfigurationError: `runbook` or `model` is no plain JSON that a checkpoint can hold.
        """
        for key in ("runbook", "model"):
            try:
                canonical(state.get(key))
            except InvalidCall as error:
                raise ConfigurationError(
                    f"`{key}` cannot be kept in a checkpoint: {error}", hint="give plain JSON"
                ) from error
        return {"messages": [HumanMessage(clean_text(task))], **state}

    def resume_input(self, graph: Graph, thread_id: str) -> Command[Any] | None:
        """Return what `graph.stream` is to be given to continue a thread.

        Every interrupt whose question is decided is answered by its id; without one, None
        continues a thread that stopped halfway.

        Raises:
            UnknownThread: the database holds no such thread.
            NothingWaiting: the thread is done.
        """
        thread = threads.read_thread(self.database, self.checkpointer, thread_id)
        if not graph.get_state(self.config(thread_id)).tasks:
            raise NothingWaiting(
                f"thread `{thread_id}` is done, there is nothing to resume",
                hint=f"see `{command('show', thread_id)}`",
            )
        open_ = {one.request_id for one in self.waiting(thread_id, limit=1000)}
        answers = {
            one.id: {"request_id": one.value["request_id"]}
            for one in thread.interrupts
            if isinstance(one.value, Mapping)
            and one.value.get("request_id", "") not in open_ | {""}
        }
        return Command(resume=answers) if answers else None

    def command(self, graph: Graph, view: ThreadView, payload: Mapping[str, Any]) -> Command[Any]:
        """Return a raw LangGraph `Command`, its answer addressed to the interrupt it is for.

        Args:
            graph: the thread's graph.
            view: the thread.
            payload: any of `resume`, `update` and `goto`. `resume` is an object by interrupt id,
                or one answer if a single interrupt waits.

        Raises:
            InvalidDecision: the answer fits no interrupt, or the graph has no such node.
        """
        fields = dict(payload)
        ids = [one.id for one in view.thread.interrupts]
        if "resume" in fields:
            answers = fields["resume"]
            if not (isinstance(answers, Mapping) and answers and answers.keys() <= set(ids)):
                if len(ids) != 1:
                    raise InvalidDecision(
                        f"{len(ids)} interrupts wait in thread `{view.thread.thread_id}`",
                        hint=f"answer by id: {', '.join(ids)}" if ids else "see `hitl list`",
                    )
                fields["resume"] = {ids[0]: answers}
        if "goto" in fields:
            goto = fields["goto"] = (
                [fields["goto"]] if isinstance(fields["goto"], str) else fields["goto"]
            )
            nodes = [name for name in graph.nodes if name != "__start__"]
            if not isinstance(goto, list) or any(one not in nodes for one in goto):
                raise InvalidDecision(
                    f"`goto` names a node that is not there: `{goto}`",
                    hint=f"nodes: {', '.join(nodes)}",
                )
        if "update" in fields and not isinstance(fields["update"], Mapping):
            raise InvalidDecision("`update` is an object of state keys")
        return Command(**fields)

    @staticmethod
    def config(thread_id: str) -> RunnableConfig:
        """Return the config that names a thread."""
        return {"configurable": {"thread_id": thread_id}}
