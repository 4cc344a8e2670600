"""Driving a thread from the terminal: start or continue it, show progress, say where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from hitl_agent.cli import output
from hitl_agent.cli.capture import captured, stoppable
from hitl_agent.cli.views import CLAIMS, next_steps, print_waiting
from hitl_agent.errors import ConfigurationError
from hitl_agent.project import find_project
from hitl_agent.review.rendering import command
from hitl_agent.runtime import Graph, Runtime, ThreadView

_STYLES = {"hard_gate": "yellow", "block": "red"}


def load_graph(runtime: Runtime, name: str) -> Graph:
    """Return a graph of the user's project, compiled over the runtime's database.

    Raises:
        ConfigurationError: there is no project, or no such graph in it.
    """
    with captured():
        builder = find_project().load(name)
        try:
            return runtime.compile(builder, name=name)
        except ValueError as error:
            raise ConfigurationError(
                f"graph `{name}` cannot be compiled: {error}", hint="correct the graph"
            ) from error


def graph_of(runtime: Runtime, view: ThreadView, named: str | None = None) -> Graph:
    """Return the graph that a thread belongs to.

    Args:
        runtime: over whose database it is compiled.
        view: the thread.
        named: the graph's name, where a person says it.

    Raises:
        ConfigurationError: nobody says which graph it is, or the project does not have it.
    """
    name = named or view.thread.graph
    if not name:
        again = command("resume", view.thread.thread_id, graph="NAME")
        raise ConfigurationError(
            f"thread `{view.thread.thread_id}` does not say which graph it belongs to",
            hint=f"say it: `{again}`, a name in langgraph.json",
        )
    return load_graph(runtime, name)


def drive(
    runtime: Runtime, graph: Graph, thread_id: str, graph_input: Any, *, json_: bool
) -> ThreadView:
    """Run a thread until it ends or waits, with a line for each thing that happens."""
    config = runtime.config(thread_id)
    planned: list[Mapping[str, Any]] = []
    with captured(), stoppable():
        for mode, chunk in graph.stream(graph_input, config, stream_mode=["updates", "custom"]):
            if json_ or not isinstance(chunk, Mapping):
                continue
            # calls are shown when they are judged: before, nobody knows what of them is hidden
            judged = chunk.get("judged") if mode == "custom" else None
            _plans(planned, judged)
            planned = []
            if mode == "custom":
                _verdicts(judged)
                continue
            for node, update in chunk.items():
                planned += _progress(node, update)
    return runtime.thread(thread_id)


def conclude(view: ThreadView, *, json_: bool) -> None:
    """Say where the thread stands and end with the status that tells it."""
    thread = view.thread
    status = {
        "done": output.DONE,
        "waiting": output.WAITING,
        "breakpoint": output.WAITING,
    }.get(thread.status, output.FAILED)
    steps = next_steps(view)
    if json_:
        output.print_json(view.to_json())
    elif view.waiting:
        print_waiting(view.waiting)
    if view.waiting and status != output.FAILED:
        steps = [command(name, thread.thread_id) for name in ("show", "approve")]
        steps.append("hitl review")
    if status == output.FAILED:
        why = f"the thread failed: {thread.error}" if thread.error else "the thread stopped halfway"
        output.fail(why, steps[0], status, json_=json_)
    if not json_:
        output.next_hint(steps)
    raise typer.Exit(status)


def _verdicts(judged: Any) -> None:
    """Print how calls were judged; a graph of somebody else's may stream anything."""
    for one in judged if isinstance(judged, list) else []:
        if isinstance(one, Mapping) and isinstance(one.get("reasons"), list):
            _said(one.get("tier"), one.get("tool"), "; ".join(map(str, one["reasons"])))


def _plans(planned: Sequence[Mapping[str, Any]], judged: Any) -> None:
    """Print planned calls: as they were judged, or as they are in a graph that judges nothing."""
    known = judged if isinstance(judged, list) else []
    shown = {one.get("call_id"): one.get("args") for one in known if isinstance(one, Mapping)}
    for call in planned:
        args = shown.get(call["id"]) if isinstance(judged, list) else call["args"]
        text = output.short_args(args, limit=200)
        output.line(f"{'plan':<12} {output.safe(call['name'])} {text}", style="cyan")


def _progress(node: str, update: Any) -> Sequence[Mapping[str, Any]]:
    """Print what a node did, and return the calls that it planned.

    A graph of somebody else's may have put anything in its state.
    """
    planned: list[Mapping[str, Any]] = []
    if not isinstance(update, Mapping):
        return planned
    messages = update.get("messages")
    for message in messages if isinstance(messages, list) else [messages]:
        if isinstance(message, ToolMessage):
            _said("result", message.name, message.text, style="", limit=300)
        elif isinstance(message, AIMessage) and node == "planner":
            planned += message.tool_calls
            if not message.tool_calls and message.text:
                text = output.safe_lines(message.text, indent=13)
                output.line(f"{'answer':<12} {CLAIMS} {text}", style="bold")
        elif isinstance(message, BaseMessage) and node != "planner" and message.text:
            _said(node, message.type, message.text, style="", limit=300)
    return planned


def _said(
    what: object, who: object, text: str, *, style: str | None = None, limit: int | None = None
) -> None:
    shown = f"{output.safe(what):<12} {output.safe(who)}: {output.safe(text, limit=limit)}"
    output.line(shown, style=_STYLES.get(str(what), "green") if style is None else style)
