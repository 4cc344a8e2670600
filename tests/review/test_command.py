"""A suggested command can be pasted, whatever the ids in it contain."""

from __future__ import annotations

import subprocess

import pytest

from hitl_agent.review.rendering import command, visible


@pytest.mark.parametrize(
    "thread_id", ["t1", "two words", "a'b", "$(touch pwned)", "x; rm -rf .", "\x1b[2J", "\u202eé"]
)
def test_the_shell_reads_back_the_ids_and_runs_nothing_else(thread_id: str) -> None:
    text = command("approve", thread_id, call=thread_id)
    assert visible(text).replace("\\\\", "\\") == text, "nothing in it is unseen"
    words = text.removeprefix("hitl ")
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, text=True, check=True
    )
    assert read.stdout.split("\0")[:-1] == ["approve", thread_id, "--call", thread_id]


def test_an_id_that_looks_like_an_option_stands_behind_the_options() -> None:
    assert command("edit", "-x", call="c") == "hitl edit --call c -- -x"
