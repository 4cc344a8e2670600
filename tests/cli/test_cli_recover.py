"""`hitl recover`: what nobody drives any more goes on, and nobody is asked again."""

from __future__ import annotations

from hitl_agent import Runtime


def decided(hitl, thread_id: str) -> None:
    """A call that was approved in a process that ended before it resumed the thread."""
    hitl.waits(thread_id, "large.yaml")
    with Runtime.open() as runtime:
        (request,) = runtime.waiting(thread_id)
        runtime.decide(request, {"type": "approve"}, reviewer="ana")


def test_where_nothing_was_left_it_says_so(hitl):
    hitl.waits("t", "large.yaml")
    for args in ((), ("--dry-run",)):
        ended = hitl("recover", *args)
        assert ended.status == 0
        assert "no thread was left halfway" in ended.out
        assert hitl("recover", *args, "--json").json == []


def test_decisions_are_taken_up(hitl):
    decided(hitl, "t")
    decided(hitl, "u")
    assert [one["thread_id"] for one in hitl("recover", "--dry-run", "--json").json] == ["t", "u"]
    assert "t  last driven by " in hitl("recover", "--dry-run").out
    assert hitl.effects() == []
    ended = hitl("recover", "--limit", "1")
    assert ended.status == 0
    assert ended.out == "done         t\n"
    assert hitl("recover", "--json").json == [
        {"thread_id": "u", "status": "done", "error": None, "hint": None}
    ]
    assert hitl.effects() == ["refund A-1 80"] * 2
    assert hitl("recover", "--json").json == []


def test_a_thread_that_cannot_go_on_is_told_and_the_others_go_on(hitl):
    decided(hitl, "t")
    decided(hitl, "u")
    with Runtime.open() as runtime, runtime.database.connection() as connection:
        connection.execute(
            "UPDATE checkpoints SET metadata = jsonb_set(metadata, '{graph_id}', '\"gone\"')"
            " WHERE thread_id = 't'"
        )
    ended = hitl("recover")
    assert ended.status == 1
    assert "failed       t: " in ended.out
    assert "`gone`" in ended.out
    assert "done         u" in ended.out
    assert hitl("list").status == 0


def test_a_thread_of_a_killed_process_goes_on(hitl):
    with hitl.start("run", "desk", "--runbook", "slow.yaml", "--thread", "t") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "plan" in line:
                break
        process.kill()
    busy = hitl("resume", "t")
    assert busy.status == 1
    assert "is driven by" in busy.err
    with Runtime.open() as runtime, runtime.database.connection() as connection:
        connection.execute("UPDATE hitl.thread SET expires_at = now()")
    ended = hitl("recover", "--json")
    assert [one["thread_id"] for one in ended.json] == ["t"]
