from __future__ import annotations

import math
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from hitl_agent.graph.bounded import bounded

NAME = ContextVar("NAME", default="nobody")


def test_an_answer_in_time_is_the_answer():
    assert bounded(divmod, 30, 7, 2) == (3, 1)
    assert bounded(lambda *a, **kw: (a, kw), 30, 1, timeout=2) == ((1,), {"timeout": 2})


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("mine"), KeyboardInterrupt()])
def test_an_error_is_raised_where_the_function_was_called(error):
    def fails():
        raise error

    with pytest.raises(type(error)) as raised:
        bounded(fails, 30)
    assert raised.value is error


def test_what_takes_too_long_is_left_behind_and_its_answer_dropped():
    go_on, ended, left = threading.Event(), threading.Event(), []

    def hangs():
        left.append(threading.current_thread())
        go_on.wait(30)
        ended.set()
        return "late"

    with pytest.raises(TimeoutError, match=r"^no answer within 0\.02 seconds$"):
        bounded(hangs, 0.02)
    assert not ended.is_set()
    assert left[0].daemon
    go_on.set()
    left[0].join(30)
    assert ended.is_set()


def test_one_that_fails_after_its_time_is_not_heard_of():
    go_on, left = threading.Event(), []

    def fails():
        left.append(threading.current_thread())
        go_on.wait(30)
        raise RuntimeError("late")

    with pytest.raises(TimeoutError):
        bounded(fails, 0.02)
    go_on.set()
    left[0].join(30)
    assert not left[0].is_alive()


def test_context_variables_are_there_and_not_changed():
    def named():
        before = NAME.get()
        NAME.set("changed")
        return before

    token = NAME.set("ann")
    try:
        assert bounded(named, 30) == "ann"
        assert NAME.get() == "ann"
    finally:
        NAME.reset(token)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, threading.TIMEOUT_MAX * 2])
def test_a_limit_that_is_none_is_refused_before_anything_runs(timeout):
    ran = []
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        bounded(lambda: ran.append(1), timeout)
    assert ran == []


def test_the_process_ends_all_the_same():
    code = """
import threading
from hitl_agent.graph.bounded import bounded
try:
    bounded(threading.Event().wait, 0.02)
except TimeoutError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "no answer within 0.02 seconds\n"
