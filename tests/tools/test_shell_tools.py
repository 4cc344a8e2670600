import os
import sys
import time

import psutil
import pytest
from langchain_core.tools import ToolException
from pydantic import ValidationError

from hitl_agent.errors import ConfigurationError
from tools.shell import shell_tools


@pytest.fixture
def run(tmp_path):
    def run(*argv, allowed=("sh", "cat", "env", "echo", "head", "sleep"), **limits):
        [tool] = shell_tools(allowed, cwd=tmp_path, **limits)
        return tool.invoke({"argv": list(argv)})

    return run


def test_a_program_runs_and_its_outputs_stay_apart(run):
    assert run("sh", "-c", "echo out; echo err >&2; exit 3") == {
        "exit_code": 3,
        "stdout": "out\n",
        "stderr": "err\n",
        "truncated": False,
        "timed_out": False,
    }


def test_arguments_mean_nothing_to_a_shell(run):
    said = run("echo", "$HOME", "*", ";", "rm", "-rf", "`id`", "a b", "|", "cat")
    assert said["stdout"] == "$HOME * ; rm -rf `id` a b | cat\n"


@pytest.mark.parametrize(
    "program", ["rm", "/bin/sh", "./sh", "../bin/sh", "sh ", " sh", "SH", "", "sh\x00", "sh -c id"]
)
def test_a_program_that_is_not_allowed_by_its_bare_name_is_refused(run, program):
    with pytest.raises(ToolException, match="is not allowed; allowed: `cat`, `echo`"):
        run(program)


def test_programs_are_looked_up_once_and_not_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "echo").write_text("#!/bin/sh\nprintf fake")
    (tmp_path / "echo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    [tool] = shell_tools(["echo"], cwd=tmp_path)
    assert tool.invoke({"argv": ["echo", "real"]})["stdout"] == "real\n"


@pytest.mark.parametrize("name", ["no-such-program", "/bin/sh", "./sh", "", "-c", ".", "a/b"])
def test_a_list_with_a_program_that_cannot_be_found_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="is not found"):
        shell_tools([name], cwd=tmp_path)


def test_a_working_directory_must_exist(tmp_path):
    with pytest.raises(ConfigurationError, match="is no directory"):
        shell_tools(["sh"], cwd=tmp_path / "no")


def test_the_environment_is_minimal(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HITL_DATABASE_URL", "postgresql://secret")
    lines = dict(line.split("=", 1) for line in run("env")["stdout"].splitlines())
    assert set(lines) == {"PATH", "LANG", "HOME"}
    assert lines["HOME"] == str(tmp_path)
    assert run("sh", "-c", "pwd")["stdout"] == f"{tmp_path}\n"


def test_standard_input_is_empty(run):
    assert run("cat") == {
        "exit_code": 0,
        "stdout": "",
        "stderr": "",
        "truncated": False,
        "timed_out": False,
    }


def test_no_other_descriptor_is_inherited(run, tmp_path):
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        listed = run("sh", "-c", "ls /proc/self/fd")
    assert len(listed["stdout"].split()) == 4  # three, and that of ls itself


def test_endless_output_is_cut_and_does_not_fill_memory(run):
    before = psutil.Process().memory_info().rss
    said = run("cat", "/dev/zero", timeout=0.7, max_output_bytes=1000)
    assert said["stdout"] == "\ufffd" * 1000
    assert said["truncated"] is True
    assert said["timed_out"] is True
    assert psutil.Process().memory_info().rss - before < 50_000_000


def test_each_output_has_its_own_limit_and_the_program_still_ends(run):
    said = run("sh", "-c", "head -c 300000 /dev/zero >&2; echo done", max_output_bytes=10)
    assert said == {
        "exit_code": 0,
        "stdout": "done\n",
        "stderr": "\ufffd" * 10,
        "truncated": True,
        "timed_out": False,
    }


def test_output_of_exactly_the_limit_is_not_called_cut(run):
    assert run("echo", "123456789", max_output_bytes=10)["truncated"] is False
    assert run("echo", "1234567890", max_output_bytes=10)["truncated"] is True


def test_a_program_that_takes_too_long_is_killed(run):
    began = time.monotonic()
    said = run("sleep", "60", timeout=0.3)
    assert time.monotonic() - began < 5
    assert said["timed_out"] is True
    assert said["exit_code"] == -9


def _sleepers(mark):
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if mark in (process.info["cmdline"] or []) and process.info["status"] != "zombie"
    ]


def _wait_until_gone(mark):
    end = time.monotonic() + 5
    while _sleepers(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not _sleepers(mark)


def test_the_children_of_a_killed_program_are_killed_too(run):
    said = run("sh", "-c", "trap '' TERM; sleep 61.0071 & sleep 61.0071; wait", timeout=0.5)
    assert said["timed_out"] is True
    assert _wait_until_gone("61.0071")


def test_a_child_left_behind_neither_blocks_the_call_nor_outlives_it(run):
    began = time.monotonic()
    said = run("sh", "-c", "sleep 62.0072 & echo started", timeout=20)
    assert time.monotonic() - began < 5
    assert (said["exit_code"], said["stdout"], said["timed_out"]) == (0, "started\n", False)
    assert _wait_until_gone("62.0072")


def test_a_child_that_leaves_its_group_does_not_block_the_call(run):
    began = time.monotonic()
    run("sh", "-c", "setsid sleep 4.0073 & echo started", timeout=20)
    assert time.monotonic() - began < 3
    for process in _sleepers("4.0073"):
        process.kill()


def test_a_program_that_closes_its_outputs_is_still_waited_for(run):
    assert run("sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4", timeout=10)["exit_code"] == 4
    assert run("sh", "-c", "exec >&- 2>&-; sleep 60", timeout=0.3)["timed_out"] is True


def test_a_program_that_cannot_be_started_is_reported(tmp_path):
    (tmp_path / "home").mkdir()
    [tool] = shell_tools(["echo"], cwd=tmp_path / "home")
    (tmp_path / "home").rmdir()
    with pytest.raises(ToolException, match="cannot be started: no such file"):
        tool.invoke({"argv": ["echo"]})


@pytest.mark.parametrize("argv", [[], "echo hi", ["echo", 5], [None], ["echo", "\udcff"]])
def test_anything_but_a_list_of_strings_is_refused(argv, tmp_path):
    [tool] = shell_tools(["echo"], cwd=tmp_path)
    with pytest.raises(ValidationError):
        tool.invoke({"argv": argv})


@pytest.mark.parametrize(
    ("argv", "reason"), [(["echo", "a\x00b"], "NUL"), (["echo", "x" * 200_000], "at most 100000")]
)
def test_arguments_that_no_program_can_take_are_refused(run, argv, reason):
    with pytest.raises(ToolException, match=reason):
        run(*argv)


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_a_system_without_process_groups_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.shell.os", type("os", (), {"name": "nt"}))
    with pytest.raises(ConfigurationError, match="process groups"):
        shell_tools(["echo"], cwd=tmp_path)
