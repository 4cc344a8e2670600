"""Real processes: one starts, another decides; Ctrl-C; two at once; a reader that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hitl_agent import Runtime

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_one_process_starts_others_look_decide_and_finish(hitl):
    started = hitl.process("run", "desk", "--runbook", "refund.yaml", "--thread", "t", "--json")
    assert started.status == 3
    listed = hitl.process("list", "--json")
    assert [one["call_id"] for one in listed.json] == ["money.1", "letter.1"]
    shown = hitl.process("show", "t")
    assert "the parcel was lost" in shown.out
    assert hitl.process("approve", "t", "--call", "money.1", "--as", "ana").status == 3
    ended = hitl.process("reject", "t", "--as", "bea", "--json")
    assert (ended.status, ended.json["status"]) == (0, "done")
    assert hitl.effects() == ["refund A-1 80"]
    assert hitl.process("history", "t").status == 0


def test_two_reviewers_at_once_decide_once(hitl):
    hitl.waits("t", "large.yaml")
    both = [hitl.start("approve", "t", "--as", name) for name in ("ana", "bea")]
    said = [one.communicate(timeout=120) for one in both]
    assert hitl.effects() == ["refund A-1 80"], said
    statuses = sorted(one.returncode for one in both)
    assert statuses == [0, 1], said
    late = next(text for (_, text), one in zip(said, both, strict=True) if one.returncode)
    assert "next: " in late
    decided = [one for one in hitl("history", "t", "--json").json if one["kind"] == "decision"]
    assert len(decided) == 1


def test_two_reviewers_of_two_calls_at_once_lose_nothing(hitl):
    hitl.waits("t")
    both = [hitl.start("approve", "t", "--call", call) for call in ("money.1", "letter.1")]
    said = [one.communicate(timeout=120) for one in both]
    if hitl("show", "t", "--json").json["status"] != "done":
        assert hitl("resume", "t").status == 0, said
    assert sorted(hitl.effects()) == ["refund A-1 80", "send ana@example.com"], said


def interrupted(hitl, *args, times=1, env=None):
    """Press Ctrl-C while the tool runs."""
    process = hitl.start(*args, start_new_session=True, env=env or {})
    until(hitl.effects)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    return err


def test_ctrl_c_while_a_tool_runs_keeps_its_result_and_the_thread_resumes(hitl):
    hitl.waits("t", "nap.yaml")
    err = interrupted(hitl, "approve", "t")
    assert "continue with `hitl resume t`" in err
    ended = hitl("resume", "t", "--json")
    assert (ended.status, ended.json["results"][0]["outcome"]) == (0, "succeeded")
    assert hitl.effects() == ["slow"]


def test_ctrl_c_twice_leaves_the_call_in_doubt_and_never_runs_it_again_unasked(hitl):
    hitl.waits("t", "slow.yaml")
    start = time.monotonic()
    err = interrupted(hitl, "approve", "t", times=2, env={"CALL_TIMEOUT": "4"})
    assert time.monotonic() - start < 20
    assert "is not known" in err
    ended = hitl("resume", "t")
    assert ended.status == 1  # a process that ends like this gives nothing back
    assert "is driven by" in ended.err
    assert "hitl resume t" in ended.err
    with Runtime.open() as runtime, runtime.database.connection() as connection:
        connection.execute("UPDATE hitl.thread SET expires_at = now()")
    until(lambda: hitl("resume", "t").status == 3)
    assert "in doubt" in hitl("show", "t").out
    assert hitl("respond", "t", "--reason", "it slept long enough").status == 0
    assert hitl.effects() == ["slow"]


def test_ctrl_c_as_json(hitl):
    hitl.waits("t", "nap.yaml")
    err = interrupted(hitl, "approve", "t", "--json")
    assert json.loads(err) == {"error": "stopped", "next": "continue with `hitl resume t`"}


def test_ctrl_c_ends_watching_quietly(hitl):
    process = hitl.start("list", "--watch", "--json", start_new_session=True)
    assert json.loads(process.stdout.readline()) == []
    hitl.waits("t", "large.yaml")
    (one,) = json.loads(process.stdout.readline())
    assert one["thread_id"] == "t"
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["list", "list --json", "list --watch", "show t", "history t"])
def test_a_reader_that_goes_away_sees_no_traceback(hitl, command):
    for index in range(3):
        hitl.waits("t" if not index else f"t{index}")
    done = subprocess.run(
        f"set -o pipefail; '{sys.executable}' -m hitl_agent {command} | head -c 20",
        shell=True, executable="/bin/bash", cwd=hitl.folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.returncode == 0, done


def test_a_thread_goes_on_when_nobody_reads_any_more(hitl):
    hitl.waits("t")
    subprocess.run(
        f"'{sys.executable}' -m hitl_agent approve t | true",
        shell=True, cwd=hitl.folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
        timeout=100,
    )  # fmt: skip
    assert len(hitl.effects()) == 2


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_no_error(hitl, stream):
    hitl.waits("t", "large.yaml")
    closing = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}[stream]
    for command, status in (("list", 0), ("list --json", 0), ("review", 3), ("reject t", 0)):
        done = subprocess.run(
            f"'{sys.executable}' -m hitl_agent {command} {closing}",
            shell=True, executable="/bin/bash", cwd=hitl.folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, stdin=subprocess.DEVNULL,
            timeout=60,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), (command, done)


def test_a_terminal_without_the_characters_shows_escapes(hitl):
    hitl("run", "desk", "für ☃", "--runbook", "large.yaml", "--thread", "t")
    ended = hitl.process("show", "t", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.status == 0
    assert "f\\xfcr \\u2603" in ended.out


def test_what_the_graph_module_prints_stays_out_of_json(hitl):
    ended = hitl.process("run", "silent", "x", "--json")
    assert ended.status == 0
    assert ended.json["status"] == "done"
    assert "  | imported" in ended.err


def test_reviewing_through_a_pipe(hitl):
    hitl.waits("t")
    ended = hitl.process("review", "--json", stdin="a\n\nr\nno\n")
    assert ended.status == 0
    assert len(ended.json["decided"]) == 2
    assert ended.out.startswith("{")
    assert hitl.effects() == ["refund A-1 80"]
