"""Ways around the gate, each tried: nothing runs without a grant, nothing runs twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command, Send

from hitl_agent import Runtime
from hitl_agent.errors import (
    CallBusy,
    GrantRefused,
    OutcomeUnknown,
    StaleDecision,
    ThreadBusy,
)
from hitl_agent.review.rendering import visible
from hitl_agent.storage import attempts, judgements
from hitl_agent.storage.database import Database
from tests.support.flows import POLICY, Desk, call, desk


def gated(runtime: Runtime, **options: Any) -> Desk:
    agent = desk(runtime, [call("send", "a", to="x")], **options)
    agent.start()
    return agent


def drive(agent: Desk, graph_input: Any) -> None:
    agent.graph.invoke(graph_input, agent.config)


@pytest.mark.parametrize("node", ["executor", "planner", "risk_classifier"])
def test_a_command_that_jumps_over_the_reviewer_runs_nothing(runtime: Runtime, node: str) -> None:
    agent = gated(runtime)
    drive(agent, Command(goto=node))
    assert agent.done == []
    assert agent.kinds("a").count("grant") == 0


def test_a_forged_review_task_asks_about_nothing_that_is_not_gated(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])
    agent.start()
    forged = Send("human_review", {"call_id": "a"})
    drive(agent, Command(goto=forged))
    unknown = Send("human_review", {"call_id": "zzz"})
    drive(agent, Command(goto=unknown))
    assert agent.waiting == []
    assert "request" not in agent.kinds("a")


@pytest.mark.parametrize("node", ["human_review", "risk_classifier", "planner"])
def test_state_written_in_a_nodes_name_runs_nothing(runtime: Runtime, node: str) -> None:
    agent = gated(runtime)
    agent.graph.update_state(agent.config, {"model": "any"}, as_node=node)
    drive(agent, None)
    assert agent.done == []


def test_an_argument_changed_in_the_state_after_approval_waits_again(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    message = agent.graph.get_state(agent.config).values["messages"][-1]
    forged = AIMessage("", id=message.id, tool_calls=[call("send", "a", to="mallory")])
    agent.graph.update_state(agent.config, {"messages": [forged]}, as_node="planner")
    drive(agent, None)
    assert agent.done == []
    (waits,) = agent.waiting
    assert waits.call.args == {"to": "mallory"}
    agent.decide("a", {"type": "reject"})
    agent.resume()
    assert agent.done == []


def test_a_call_id_that_returns_with_another_call_is_refused(runtime: Runtime) -> None:
    agent = desk(runtime, [call("look", "a", what="x")])
    agent.start()
    state = agent.graph.get_state(agent.config)
    forged = AIMessage("", tool_calls=[call("send", "a", to="mallory")])
    agent.graph.update_state(state.config, {"messages": [forged]}, as_node="planner")
    drive(agent, None)
    assert agent.done == [("look", "x")]
    last = agent.graph.get_state(agent.config).values["messages"][-2]
    assert "its id was used for another call" in last.text


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE hitl.judgement SET args = '{"to": "mallory"}'""",
        """UPDATE hitl.judgement SET actor = 'mallory'""",
        """UPDATE hitl.judgement SET binding = 'sha256:0'""",
        """UPDATE hitl.judgement SET tool_version = '0'""",
        """UPDATE hitl."grant" SET binding = 'sha256:0'""",
        """UPDATE hitl."grant" SET consumed_at = now()""",
        """UPDATE hitl."grant" SET expires_at = granted_at""",
        """DELETE FROM hitl."grant" """,
    ],
)
def test_a_row_changed_by_hand_runs_nothing(
    runtime: Runtime, database: Database, statement: str
) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    with database.connection() as connection:
        connection.execute(statement.encode())
    agent.resume()
    assert agent.status == "waiting"
    assert agent.done == []


def test_a_decision_delivered_twice_counts_once(runtime: Runtime) -> None:
    agent = gated(runtime)
    (request,) = agent.waiting
    agent.runtime.decide(request, {"type": "approve"}, reviewer="ana")
    agent.runtime.decide(request, {"type": "approve"}, reviewer="ana")
    with pytest.raises(StaleDecision):
        agent.runtime.decide(request, {"type": "approve"}, reviewer="bo")
    agent.resume()
    agent.runtime.decide(request, {"type": "approve"}, reviewer="ana")
    with pytest.raises(StaleDecision):
        agent.runtime.decide(request, {"type": "reject"}, reviewer="ana")
    assert agent.done == [("send", "x")]
    assert agent.kinds("a").count("decision") == agent.kinds("a").count("grant") == 1


def test_time_travel_replays_the_stored_result(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    agent.resume()
    assert agent.done == [("send", "x")]
    for state in list(agent.graph.get_state_history(agent.config)):
        if state.next:
            agent.graph.invoke(None, state.config)
    assert agent.done == [("send", "x")]


def test_a_policy_that_changed_after_the_approval_is_asked_anew(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    stricter = desk(
        runtime,
        [call("send", "a", to="x")],
        policy=POLICY.replace("never_run: [", "never_run: [send, "),
        clock=agent.clock,
    )
    stricter.thread_id = agent.thread_id
    stricter.resume()
    assert stricter.done == []
    assert "refused by policy" in stricter.answer("a").text


def test_an_approval_that_expired_waits_again(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    agent.clock.advance(days=2)
    agent.resume()
    assert agent.done == []
    assert [one.revision for one in agent.waiting] == [2]


def test_two_resumes_at_once_run_the_call_once(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    graph_input = agent.runtime.resume_input(agent.graph, agent.thread_id)
    errors: list[BaseException] = []

    def resume() -> None:
        try:
            drive(agent, graph_input)
        except (ThreadBusy, CallBusy, StaleDecision) as error:  # the others came too late
            errors.append(error)

    threads = [threading.Thread(target=resume) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert agent.done == [("send", "x")]
    assert len(errors) < len(threads), "one of them has gone through"
    assert agent.status == "done"


KILLED = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from langchain_core.tools import tool
    from hitl_agent import Runtime
    from tests.support.flows import call, desk

    log, thread_id, die = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    @tool
    def send(to: str, text: str = "") -> str:  # as that of the desk: another tool is another call
        "Send a letter."
        if die == "before":
            os._exit(9)
        with log.open("a") as file:
            file.write(to + "\\n")
        if die == "after":
            os._exit(9)
        return "sent"

    with Runtime.open() as runtime:
        agent = desk(runtime, [call("send", "a", to="x")], tools=lambda done: [send])
        agent.thread_id = thread_id
        agent.resume()
    """
)


def kill_in_the_call(agent: Desk, log: Path, die: str) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(log), agent.thread_id, die],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        check=False,
        timeout=60,
    )
    assert ended.returncode == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decision", "ran", "text"),
    [
        ({"type": "approve"}, True, "[approved by ana]\nsent to x"),
        ({"type": "respond", "message": "it arrived"}, False, "it arrived"),
        ({"type": "reject", "message": "leave it"}, False, "leave it"),
    ],
)
def test_a_call_whose_process_was_killed_goes_to_a_person(
    runtime: Runtime, tmp_path: Path, decision: dict[str, Any], ran: bool, text: str
) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    kill_in_the_call(agent, tmp_path / "log", "after")
    with pytest.raises(ThreadBusy, match=r"is driven by .* since 12:00:00"):
        agent.resume()
    agent.clock.advance(minutes=1)
    with pytest.raises(CallBusy):
        agent.resume()
    agent.clock.advance(minutes=10)
    agent.resume()
    assert agent.done == [], "what may have happened is never run again by itself"
    (waits,) = agent.waiting
    assert "in doubt" in waits.verdict.errors[0]
    agent.decide("a", decision)
    agent.resume()
    assert agent.done == ([("send", "x")] if ran else [])
    assert text in agent.answer("a").text
    assert agent.status == "done"
    assert "in_doubt" in agent.kinds("a")


def doubting(done: list[Any]) -> Any:
    """A tool whose effect happens and whose answer is lost, the second time."""
    from langchain_core.tools import tool

    @tool
    def send(to: str) -> str:
        """Send."""
        done.append(("send", to))
        if len(done) == 2:
            raise OutcomeUnknown("the line went dead")
        return f"sent to {to}"

    return [send]


@pytest.mark.parametrize("in_async", [False, True])
def test_a_tool_that_cannot_tell_what_happened_leaves_it_to_a_person(
    runtime: Runtime, in_async: bool
) -> None:
    calls = [call("send", one, to=one) for one in ("a", "b", "c")]
    agent = desk(runtime, calls, tools=doubting)
    agent.start()
    for one in ("a", "b", "c"):
        agent.decide(one, {"type": "approve"})
    graph_input = agent.runtime.resume_input(agent.graph, agent.thread_id)
    if in_async:
        asyncio.run(agent.graph.ainvoke(graph_input, agent.config))
    else:
        agent.graph.invoke(graph_input, agent.config)
    assert agent.done == [("send", "a"), ("send", "b")], "nothing more runs while one is in doubt"
    (waits,) = agent.waiting
    assert (waits.call.call_id, waits.revision) == ("b", 2)
    assert "in doubt" in waits.verdict.errors[0]
    doubts = [one for one in agent.runtime.history(agent.thread_id) if one["kind"] == "in_doubt"]
    assert doubts[0]["body"]["result"] == {"content": "the line went dead"}
    agent.decide("b", {"type": "respond", "message": "it arrived"})
    agent.resume()
    assert agent.done == [("send", "a"), ("send", "b"), ("send", "c")]
    assert "it arrived" in agent.answer("b").text
    assert agent.answer("a").text == "[approved by ana]\nsent to a"
    assert agent.status == "done"


@pytest.mark.parametrize("in_async", [False, True])
def test_a_read_that_cannot_tell_has_failed_and_is_not_run_over_and_over(
    runtime: Runtime, in_async: bool
) -> None:
    def tools(done: list[Any]) -> Any:
        from langchain_core.tools import tool

        @tool
        def look(what: str) -> str:
            """Look."""
            done.append(("look", what))
            raise OutcomeUnknown("no answer")

        return [look]

    agent = desk(runtime, [call("look", "a", what="x")], tools=tools)
    if in_async:
        asyncio.run(agent.graph.ainvoke(agent.runtime.start_input("do it"), agent.config))
    else:
        agent.start()
    assert agent.done == [("look", "x")]
    assert agent.answer("a").text == "the tool failed: no answer"


def test_a_read_that_was_cut_off_simply_runs_again(runtime: Runtime) -> None:
    class Cut(BaseException):
        pass

    cut = [True]

    def tools(done: list[Any]) -> Any:
        from langchain_core.tools import tool

        @tool
        def look(what: str) -> str:
            """Look."""
            if cut.pop():
                cut.append(False)
                raise Cut
            cut.append(False)
            done.append(("look", what))
            return "seen"

        return [look]

    agent = desk(runtime, [call("look", "a", what="x")], tools=tools)
    with pytest.raises(Cut):
        agent.start()
    assert agent.kinds("a")[-1] == "in_doubt"
    agent.resume()
    assert agent.done == [("look", "x")]


def test_a_call_that_outlives_its_time_is_not_reported_as_done(runtime: Runtime) -> None:
    def tools(done: list[Any]) -> Any:
        from langchain_core.tools import tool

        @tool
        def send(to: str) -> str:
            """Send."""
            agent.clock.advance(minutes=10)
            other = desk(runtime, [call("send", "a", to="x")], clock=agent.clock)
            other.thread_id = agent.thread_id
            other.resume()
            assert other.done == []
            return "sent"

        return [send]

    agent = desk(
        runtime,
        [call("send", "a", to="x")],
        tools=tools,
        call_timeout=timedelta(minutes=1),
    )
    agent.start()
    agent.decide("a", {"type": "approve"})
    with pytest.raises(GrantRefused, match="taken it for lost"):
        agent.resume()


def test_hostile_text_in_a_call_is_shown_escaped() -> None:
    assert visible("a\x1b[2J\u202eb\u200bc\\x1b") == "a\\x1b[2J\\u202eb\\u200bc\\\\x1b"


def test_a_second_task_on_the_same_thread_is_gated_like_the_first(runtime: Runtime) -> None:
    first, second = [call("look", "a", what="x")], [call("send", "b", to="y")]
    agent = desk(runtime, first, AIMessage("done with the first"), second)
    agent.start()
    assert agent.status == "done"
    agent.graph.invoke({"messages": [HumanMessage("again")]}, agent.config)
    assert agent.done == [("look", "x")]
    assert [one.call.call_id for one in agent.waiting] == ["b"]
    assert agent.waiting[0].task == "again"


def test_what_was_judged_anew_has_no_permission_from_before(runtime: Runtime) -> None:
    agent = gated(runtime)
    agent.decide("a", {"type": "approve"})
    database, thread_id = agent.runtime.database, agent.thread_id
    before = judgements.newest(database, thread_id, ["a"])["a"]
    stricter = desk(
        runtime,
        [call("send", "a", to="x")],
        policy=POLICY.replace("never_run", "always_gate"),
        clock=agent.clock,
    )
    stricter.thread_id = thread_id
    stricter.resume()
    stricter.decide("a", {"type": "reject"})
    now = agent.clock()
    with agent.runtime.leases.held(thread_id) as lease:
        opened = attempts.open_(
            database, lease, before, "started", bound=before.bound, now=now, deadline=now
        )
    assert opened is None
    assert "started" not in agent.kinds("a")
