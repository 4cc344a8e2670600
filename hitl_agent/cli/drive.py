"""Driving a thread from the terminal: start or continue it, show progress, say where it stands."""

from __future__ import annotations

from typing import Any

import typer

from hitl_agent.cli import output
from hitl_agent.cli.views import print_waiting
from hitl_agent.errors import ConfigurationError
from hitl_agent.project import find_project
from hitl_agent.runtime import Graph, Runtime, ThreadView


def load_graph(runtime: Runtime, name: str) -> Graph:
    """Return a graph of the user's project, compiled over the runtime's database.

    Raises:
        ConfigurationError: there is no project, or no such graph in it.
    """
    return runtime.compile(find_project().load(name), name=name)


def graph_of(runtime: Runtime, view: ThreadView) -> Graph:
    """Return the graph that a thread belongs to.

    Raises:
        ConfigurationError: the thread does not say, or the project does not have it.
    """
    if not view.thread.graph:
        raise ConfigurationError(
            f"thread `{view.thread.thread_id}` does not say which graph it belongs to",
            hint="resume it where it was started",
        )
    return load_graph(runtime, view.thread.graph)


def drive(
    runtime: Runtime, graph: Graph, thread_id: str, graph_input: Any, *, json_: bool
) -> ThreadView:
    """Run a thread until it ends or waits, with a line for each thing that happens."""
    config = runtime.config(thread_id)
    for chunk in graph.stream(graph_input, config, stream_mode="updates"):
        if not json_:
            for node, update in chunk.items():
                _progress(node, update)
    return runtime.thread(thread_id)


def conclude(view: ThreadView, *, json_: bool) -> None:
    """Say where the thread stands and end with the status that tells it."""
    thread = view.thread
    if json_:
        output.print_json(view.to_json())
    elif view.waiting:
        print_waiting(view.waiting)
        thread_id = output.safe(thread.thread_id)
        output.hint(f"next: hitl show {thread_id} | hitl approve {thread_id} | hitl review")
    elif thread.status == "failed":
        output.hint(f"the thread failed: {output.safe_lines(thread.error or '')}")
        output.hint(f"next: hitl history {output.safe(thread.thread_id)}")
    status = {"done": output.DONE, "waiting": output.WAITING}.get(thread.status, output.FAILED)
    raise typer.Exit(status)


def _progress(node: str, update: Any) -> None:
    if not isinstance(update, dict):
        return
    for judged in update.get("judged") or []:
        why = "; ".join(judged["reasons"])
        style = {"hard_gate": "yellow", "block": "red"}.get(judged["tier"], "green")
        text = f"{judged['tier']:<12} {output.safe(judged['tool'])}: {output.safe(why)}"
        output.line(text, style=style)
    for message in update.get("messages") or []:
        if message.type == "tool":
            text = f"{'result':<12} {output.safe(message.name)}: {output.safe(message.text, limit=300)}"
            output.line(text)
        elif node == "planner" and message.type == "ai":
            for call in message.tool_calls:
                args = output.short_args(call["args"], limit=200)
                output.line(f"{'plan':<12} {output.safe(call['name'])} {args}", style="cyan")
            if not message.tool_calls and message.text:
                output.line(f"{'answer':<12} {output.safe_lines(message.text)}", style="bold")
