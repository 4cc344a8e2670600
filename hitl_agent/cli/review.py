"""The command that goes through what waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    AsOption,
    DatabaseOption,
    GraphOption,
    JsonOption,
    ToolOption,
    reviewer_name,
    use_database,
)
from hitl_agent.errors import HitlError, InvalidDecision

if TYPE_CHECKING:
    from hitl_agent.review import ReviewRequest
    from hitl_agent.runtime import Runtime

_AT_MOST = 10_000


def review(
    reviewer: AsOption = None,
    graph: GraphOption = None,
    tool: ToolOption = None,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Go through what waits, one by one, most urgent first.

    Example: hitl review --as ana --tool refund_order
    """
    from hitl_agent.runtime import Runtime

    with output.reported(json_=json_) as report:
        use_database(database_url)
        with Runtime.open() as runtime:
            round_ = _Round(runtime, report, reviewer_name(reviewer), graph, tool)
            while (request := round_.next()) and round_.ask(request):
                pass
            left = len(round_.waiting())
        decided = round_.decided
        if json_:
            output.print_json({"decided": decided, "waiting": left})
        else:
            output.line(f"{len(decided)} decided, {left} waiting")
            if left:
                output.hint("next: hitl list")
        raise typer.Exit(output.WAITING if left else output.DONE)


@dataclass
class _Round:
    """One reviewer's way through what waits."""

    runtime: Runtime
    report: output.Report
    reviewer: str
    graph: str | None
    tool: str | None
    decided: list[dict[str, Any]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _thread_id: str = ""

    def waiting(self) -> list[ReviewRequest]:
        """Return what waits now."""
        return self.runtime.waiting(graph=self.graph, tool=self.tool, limit=_AT_MOST)

    def next(self) -> ReviewRequest | None:
        """Show what to decide next: first what the thread at hand still asks, then the rest."""
        from hitl_agent.cli.views import print_field, print_request, print_text

        new = [one for one in self.waiting() if one.request_id not in self._seen]
        here = [one for one in new if one.thread_id == self._thread_id]
        request = next(iter((*here, *new)), None)
        if request is not None:
            self._seen.add(request.request_id)
            self._thread_id = request.thread_id
            if not self.report.json_:
                more = f"{len(new) - 1} more after this" if len(new) > 1 else "the last one"
                output.line("")
                output.line(more, style="dim")
                print_field("thread", request.thread_id)
                print_field("graph", request.graph)
                print_text("task", request.task)
                print_request(request, begin=True)
        return request

    def ask(self, request: ReviewRequest) -> bool:
        """Ask, record, resume; False when the reviewer has had enough."""
        from hitl_agent.cli import ask
        from hitl_agent.cli.settle import check, record, resume

        answer = ask.decision(request, shown=not self.report.json_)
        if isinstance(answer, str):
            return answer != "quit"
        try:
            check(request, answer)
            outcome = record(self.runtime, request, answer, self.reviewer, json_=self.report.json_)
            self.decided.append({"request_id": request.request_id, "decision": answer.type})
            self.report.thread_id = request.thread_id
            if request.gates and outcome.decision:
                resume(self.runtime, request.thread_id, json_=self.report.json_)
        except HitlError as error:
            if isinstance(error, InvalidDecision):  # nothing is stored: the question stands
                self._seen.discard(request.request_id)
            output.problem(error)
            if next_ := self.report.next(error.hint):
                output.hint(f"next: {output.safe_lines(next_, indent=6)}")
        self.report.thread_id = None
        return True
