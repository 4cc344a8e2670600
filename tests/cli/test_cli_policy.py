"""`hitl policy`: check, test, explain, suggest, diff, backtest."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

ROOT = Path(__file__).parents[2]
COMMANDS = ["check", "test", "explain", "suggest", "diff", "backtest"]

POLICY = """\
version: 1
defaults: {sla_seconds: 3600}
tools:
  look_up: {effect: read}
  refund:
    effect: write
    amount: amount
    sla: 900
    reason: money leaves the house
    rules: [{id: small, when: amount <= 50, tier: auto_approve}]
  send: {effect: irreversible, reason: a message that was sent cannot be called back}
"""

TESTED = """
tests:
  - {name: small, tool: refund, args: {order_id: A, amount: 20}, expect: {tier: auto_approve}}
  - {name: large, tool: refund, args: {order_id: A, amount: 80}, expect: {tier: hard_gate}}
"""


@pytest.fixture(autouse=True)
def policy(folder):
    """The project's policy."""
    (folder / "policies.yaml").write_text(POLICY)
    return POLICY


def changed(folder, text, name="other.yaml"):
    (folder / name).write_text(text, "utf-8")
    return name


def unseen(text):
    """The characters that would not plainly show."""
    return {one for one in text if one != "\n" and unicodedata.category(one)[0] in "CZ"} - {" "}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(hitl_bare, name):
    ended = hitl_bare("policy", name, "--help")
    assert ended.status == 0
    assert f"Example: hitl policy {name}" in " ".join(ended.out.replace("│", " ").split())
    assert "--json" in ended.out


def test_without_a_command_there_is_help(hitl_bare):
    ended = hitl_bare("policy")
    assert ended.status == 2
    assert all(f" {name} " in ended.out for name in COMMANDS)
    assert " policy " in hitl_bare("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_not_there_is_named(hitl_bare, name):
    args = {"explain": ("refund", "--policy", "no.yaml"), "diff": ("no.yaml", "no.yaml")}
    ended = hitl_bare("policy", name, *args.get(name, ("no.yaml",)))
    assert ended.status == 2
    assert "`no.yaml`" in ended.err
    assert "next: " in ended.err


# check


def test_of_a_policy_that_is_right_nothing_is_said_but_that(hitl_bare):
    ended = hitl_bare("policy", "check", "policies.yaml")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "nothing is wrong with policies.yaml\n"
    found = hitl_bare("policy", "check", "policies.yaml", "--json").json
    assert set(found) == {"ok", "file", "digest", "errors", "warnings"}
    assert (found["ok"], found["file"], found["errors"]) == (True, "policies.yaml", [])
    assert found["digest"].startswith("sha256:")


def test_what_is_probably_not_meant_is_a_warning(hitl_bare, folder, policy):
    name = changed(folder, policy + "audit_log: somewhere\n", "my policy.yaml")
    ended = hitl_bare("policy", "check", name)
    line = policy.count("\n") + 1
    assert ended.status == 0
    assert ended.out.startswith(f"my policy.yaml:{line}:1: warning: `audit_log` is not used")
    (warning,) = hitl_bare("policy", "check", name, "--json").json["warnings"]
    assert (warning["line"], warning["column"]) == (line, 1)


def test_what_is_wrong_is_told_with_its_place(hitl_bare, folder, policy):
    name = changed(folder, policy.replace("amount <= 50", "amuont <= 50"), "my policy.yaml")
    ended = hitl_bare("policy", "check", name)
    assert ended.status == 1
    where = ended.out.split(": ")[0]
    assert where.startswith("my policy.yaml:10:")
    assert "did you mean `amount`?" in ended.out
    assert ended.err.startswith("next: ")
    found = hitl_bare("policy", "check", name, "--json").json
    assert (found["ok"], found["digest"], found["warnings"]) == (False, None, [])
    (error,) = found["errors"]
    assert where == f"my policy.yaml:{error['line']}:{error['column']}"
    assert error["message"] in ended.out
    assert not error["message"].startswith("my policy")


def test_a_policy_is_held_against_the_tools_of_a_graph(hitl_bare, folder, policy):
    assert hitl_bare("policy", "check", "policies.yaml", "--graph", "desk").status == 0
    name = changed(folder, policy.replace("amount: amount", "amount: amuont"))
    assert hitl_bare("policy", "check", name).status == 0
    for graph in ("desk", "desk_factory", "desk_compiled", "desk_by_module"):
        ended = hitl_bare("policy", "check", name, "--graph", graph)
        assert ended.status == 1
        assert "`refund` has no argument `amuont`" in ended.out
    (folder / "policies.yaml").write_text((folder / name).read_text())
    ended = hitl_bare("policy", "check", "policies.yaml", "--graph", "desk_factory", "--json")
    assert (ended.status, len(ended.json["errors"])) == (1, 1)


def test_a_graph_whose_tools_are_not_known_is_refused(hitl_bare):
    ended = hitl_bare("policy", "check", "policies.yaml", "--graph", "foreign")
    assert ended.status == 2
    assert "was not made by `build_graph`" in ended.err
    assert hitl_bare("policy", "check", "policies.yaml", "--graph", "nope").status == 2


def test_warnings_have_a_limit(hitl_bare, folder, policy):
    name = changed(folder, policy + "audit_log: a\nfeedback_pipeline: {store: x, batch_size: 1}\n")
    ended = hitl_bare("policy", "check", name, "--limit", "2")
    assert len(ended.out.splitlines()) == 2
    assert "the first 2 of 3 are shown" in ended.err
    assert len(hitl_bare("policy", "check", name, "--limit", "2", "--json").json["warnings"]) == 2


# test


def test_tests_that_pass_are_counted(hitl_bare, folder, policy):
    name = changed(folder, policy + TESTED)
    ended = hitl_bare("policy", "test", name)
    assert (ended.status, ended.out) == (0, "2 of 2 tests passed\n")
    found = hitl_bare("policy", "test", name, "--json").json
    assert (found["ok"], found["tests"], found["passed"], found["failures"]) == (True, 2, 2, [])


def test_a_test_that_fails_says_what_came_and_why(hitl_bare, folder, policy):
    name = changed(folder, policy.replace("<= 50", "<= 500") + TESTED)
    ended = hitl_bare("policy", "test", name)
    assert ended.status == 1
    lines = ended.out.splitlines()
    place = policy.count("\n") + 4
    assert lines == [
        f"other.yaml:{place}:5: `large`: expected hard_gate; it is auto_approve by small",
        "    auto_approve  small: rule `small` applies",
        "1 of 2 tests passed",
    ]
    found = hitl_bare("policy", "test", name, "--json")
    assert found.status == 1
    (failure,) = found.json["failures"]
    assert (failure["name"], failure["line"], failure["column"]) == ("large", place, 5)
    assert failure["expected"]["tier"] == "hard_gate"
    assert failure["verdict"]["tier"] == "auto_approve"


def test_a_test_that_meets_an_error_shows_it(hitl_bare, folder, policy):
    test = "tests: [{tool: refund, args: {}, expect: {tier: auto_approve}}]\n"
    ended = hitl_bare("policy", "test", changed(folder, policy + test))
    assert ended.status == 1
    assert "    error         rule `small` has no answer: `amount` is missing" in ended.out


def test_a_policy_without_tests_fails(hitl_bare):
    ended = hitl_bare("policy", "test", "policies.yaml")
    assert (ended.status, ended.out) == (1, "")
    assert "error: `policies.yaml` has no tests" in ended.err
    ended = hitl_bare("policy", "test", "policies.yaml", "--json")
    assert (ended.status, ended.json["ok"], ended.json["tests"]) == (1, False, 0)


# explain


def explained(hitl, *args):
    ended = hitl("policy", "explain", *args, "--json")
    assert ended.status == 0, ended
    return ended.json


def test_a_call_is_explained(hitl_bare):
    found = explained(hitl_bare, "refund", "--args", '{"order_id": "A", "amount": 20}')
    assert (found["tier"], found["effect"], found["errors"]) == ("auto_approve", "write", [])
    (rule,) = found["rules"]
    assert (rule["id"], rule["tier"]) == ("small", "auto_approve")
    assert set(rule) == {"id", "tier", "reason"}
    checked = hitl_bare("policy", "check", "policies.yaml", "--json").json
    assert found["policy_digest"] == checked["digest"]
    found = explained(hitl_bare, "refund", "--args", '{"order_id": "A", "amount": 80}')
    assert (found["tier"], found["sla_seconds"]) == ("hard_gate", 900)
    assert found["reviewers"] == {"min": 1, "roles": [], "reject": None}
    assert found["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert "money leaves the house" in found["rules"][0]["reason"]


def test_a_person_sees_the_same(hitl_bare):
    ended = hitl_bare("policy", "explain", "refund", "--args", '{"order_id": "A", "amount": 80}')
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[:3] == ["tool       refund (write)", "tier       hard_gate", "why"]
    assert "reviewers  1" in lines
    assert "due        within 15m" in lines
    assert "confidence not known; no untrusted text; actor not known" in ended.out
    assert lines[-1].startswith("policy     policies.yaml sha256:")


def test_the_tier_is_in_colour_on_a_terminal(hitl_bare):
    env = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    ended = hitl_bare.process("policy", "explain", "send", env=env)
    assert "\x1b[33mtier       hard_gate" in ended.out


FACTS = """
tools:
  read_page: {effect: read, untrusted_output: true}
  "*": {rules: [{id: stranger, when: context.untrusted, tier: hard_gate, reason: a stranger wrote}]}
  pay:
    effect: write
    action_type: refund
    category: args.kind
    redact: {support: [card]}
    reviewers: {min: 2, roles: [finance]}
    history: {day: {by: actor, seconds: 86400}}
    rules:
      - id: office
        when: actor == "ana" && now.getHours("UTC") < 18 && history.day.count == 0
        tier: soft_review
escalation_policies:
  - action_type: refund
    auto_approve_threshold: 0.9
    max_auto_approve_amount_inr: 5000
    categories_always_review: [fraud]
"""


def test_what_is_known_is_what_is_given(hitl_bare, folder):
    name = changed(folder, FACTS)
    args = ("pay", "--policy", name, "--args", '{"amount": 2000, "kind": "x"}')
    at = ("--now", "2026-03-02T17:59:00+00:00")
    assert explained(hitl_bare, *args)["tier"] == "hard_gate"
    found = explained(hitl_bare, *args, *at, "--actor", "ana")
    assert (found["tier"], found["redactions"]) == ("soft_review", {"support": ["card"]})
    assert found["facts"]["history"] == {"day": {"count": 0, "sum": 0.0}}
    assert found["facts"]["now"] == at[1]
    assert explained(hitl_bare, *args, *at, "--actor", "bea", "--confidence", "0.95")["tier"] == (
        "auto_approve"
    )
    assert explained(hitl_bare, *args, *at, "--actor", "ana", "--category", "fraud")["tier"] == (
        "hard_gate"
    )
    found = explained(hitl_bare, *args, *at, "--actor", "ana", "--untrusted", "read_page")
    assert (found["tier"], found["rules"][0]["id"]) == ("hard_gate", "stranger")
    assert found["reviewers"] == {"min": 2, "roles": ["finance"], "reject": "one"}
    assert found["facts"]["untrusted"] == ["read_page"]
    shown = hitl_bare("policy", "explain", *args, *at, "--untrusted", "read_page").out
    assert "reviewers  2, among them finance" in shown
    assert "hidden     card from support" in shown


def test_a_type_of_action_stands_for_its_tool(hitl_bare, folder):
    ended = hitl_bare("policy", "explain", "refund", "--policy", changed(folder, FACTS))
    assert ended.out.startswith("tool       pay (write)")
    assert "`refund` is the type of action of `pay`" in ended.err
    only = FACTS[FACTS.index("escalation_policies") :]
    args = ("refund", "--policy", changed(folder, only), "--args", '{"amount": 2000}')
    assert explained(hitl_bare, *args, "--confidence", "0.95")["tier"] == "auto_approve"
    assert explained(hitl_bare, *args, "--confidence", "0.5")["tier"] == "hard_gate"
    large = explained(hitl_bare, *args[:-1], '{"amount": 5001}', "--confidence", "0.95")
    assert large["rules"][0]["id"] == "amount-limit"


def test_a_tool_that_nobody_named_is_gated(hitl_bare):
    assert explained(hitl_bare, "launch_rocket")["rules"][0]["id"] == "unknown-tool"


@pytest.mark.parametrize(
    "args",
    [
        '{"amount": NaN}', '{"amount": Infinity}', '{"amount": -Infinity}', '{"amount": 1e999}',
        '{"amount": 1' + "0" * 30 + "}", '{"amount": 1' + "0" * 5000 + "}",
        '{"amount": 1, "amount": 2}', '{"amount": "\\ud800"}', '{"a": "\\u0000"}',
        "[1]", '"x"', "7", "", "{", "@no.json", '{"a":' * 60 + "1" + "}" * 60,
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)  # fmt: skip
def test_arguments_that_no_call_can_have_are_refused(hitl_bare, args):
    for more in ((), ("--json",)):
        ended = hitl_bare("policy", "explain", "refund", "--args", args, *more)
        assert (ended.status, ended.out) == (2, "")
        assert "Traceback" not in ended.err
    assert set(ended.error) == {"error", "next"}


@pytest.mark.parametrize(
    "amount", ["true", "null", '"5e1"', '" 5"', "-1", "[]", '"\\u202e5"', "1e15"]
)
def test_amounts_that_are_none_never_run(hitl_bare, amount):
    found = explained(hitl_bare, "refund", "--args", f'{{"order_id": "A", "amount": {amount}}}')
    assert found["tier"] == "hard_gate"


def test_enormous_arguments_are_refused_or_judged(hitl_bare, folder):
    (folder / "large.json").write_text(json.dumps({"amount": 1, "order_id": "x" * 200_000}))
    assert explained(hitl_bare, "refund", "--args", "@large.json")["tier"] == "auto_approve"
    (folder / "larger.json").write_text(json.dumps({"amount": 1, "order_id": "x" * 3_000_000}))
    ended = hitl_bare("policy", "explain", "refund", "--args", "@larger.json")
    assert (ended.status, "the limit is" in ended.err) == (2, True)


@pytest.mark.parametrize("value", ["nan", "-0.1", "1.1", "inf", "-inf", "high", ""])
def test_a_confidence_outside_its_range_is_wrong_usage(hitl_bare, value):
    ended = hitl_bare("policy", "explain", "refund", f"--confidence={value}")
    assert (ended.status, ended.out) == (2, "")
    assert "next: " in ended.err


@pytest.mark.parametrize("value", ["yesterday", "2026-03-02T17:59:00", "", "2026-99-02"])
def test_a_time_that_is_none_is_wrong_usage(hitl_bare, value):
    ended = hitl_bare("policy", "explain", "refund", "--now", value)
    assert ended.status == 2
    assert "`--now` is" in ended.err


def test_a_name_too_long_for_a_tool_is_wrong_usage(hitl_bare):
    assert hitl_bare("policy", "explain", "x" * 200).status == 2
    assert hitl_bare("policy", "explain", "").status == 2


def test_the_policy_is_that_of_the_project(hitl_bare, folder, monkeypatch, tmp_path):
    inner = folder / "deep" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert explained(hitl_bare, "look_up")["tier"] == "auto_approve"
    (inner / "policies.yaml").write_text("tools: {look_up: {effect: irreversible}}")
    assert explained(hitl_bare, "look_up")["tier"] == "hard_gate"
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    ended = hitl_bare("policy", "explain", "look_up")
    assert (ended.status, "--policy FILE" in ended.err) == (2, True)


# suggest

LISTED = {
    "tools": [
        {"name": "look_up_order", "description": "Look up an order.", "inputSchema": {}},
        {"name": "delete_account", "description": "Delete an account for ever.", "inputSchema": {}},
    ]
}


def test_a_policy_is_suggested_that_is_one(hitl_bare, folder):
    (folder / "my tools.json").write_text(json.dumps(LISTED))
    ended = hitl_bare("policy", "suggest", "my tools.json")
    assert ended.status == 0
    name = changed(folder, ended.out)
    assert hitl_bare("policy", "check", name).status == 0
    assert explained(hitl_bare, "look_up_order", "--policy", name)["tier"] == "auto_approve"
    assert explained(hitl_bare, "delete_account", "--policy", name)["tier"] == "hard_gate"
    found = hitl_bare("policy", "suggest", "my tools.json", "--json").json["tools"]
    assert found["look_up_order"]["effect"] == "read"
    assert found["delete_account"]["effect"] == "irreversible"


def test_tools_come_from_stdin_or_from_a_graph(hitl_bare, folder):
    found = hitl_bare("policy", "suggest", "-", "--json", stdin=json.dumps(LISTED))
    assert set(found.json["tools"]) == {"look_up_order", "delete_account"}
    found = hitl_bare("policy", "suggest", "--graph", "desk", "--json")
    assert set(found.json["tools"]) == {"look_up", "refund", "send", "slow", "fail"}
    text = hitl_bare("policy", "suggest", "--graph", "desk").out
    assert hitl_bare("policy", "check", changed(folder, text), "--graph", "desk").status == 0


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        ((), None), (("a.json", "--graph", "desk"), None), (("nope.json",), None), ((".",), None),
        (("-",), ""), (("-",), "[1]"), (("-",), "{"), (("-",), b"\xff\xfe"),
        (("-",), '[{"name": 7}]'),
        (("-",), '[{"name": "\\u001b[31m\\u202e"}'), (("--graph", "foreign"), None),
    ],
)  # fmt: skip
def test_what_is_no_list_of_tools_is_refused(hitl_bare, args, stdin):
    ended = hitl_bare("policy", "suggest", *args, stdin=stdin)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert "next: " in ended.err
    assert unseen(ended.err) == set()


def test_hostile_tools_are_suggested_plainly(hitl_bare, folder):
    tools = [{"name": "see", "description": 'Look.\u202e\x1b[31m\nnever_run: []\u200b \\x "q"'}]
    ended = hitl_bare("policy", "suggest", "-", stdin=json.dumps(tools))
    assert ended.status == 0
    assert unseen(ended.out) == set()
    assert hitl_bare("policy", "check", changed(folder, ended.out)).status == 0


# diff


def test_what_changed_is_told(hitl_bare, folder, policy):
    name = changed(
        folder, policy.replace("<= 50", "<= 500").replace("sla: 900", "sla: 60"), "a b.yaml"
    )
    ended = hitl_bare("policy", "diff", "policies.yaml", name)
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "a b.yaml:8:10: changed: tools.refund.sla: 900 -> 60",
        'a b.yaml:10:31: looser: tools.refund.rules[small].when: "amount <= 50" -> "amount <= 500"',
        "2 differences: 1 looser, 1 changed",
    ]
    found = hitl_bare("policy", "diff", "policies.yaml", name, "--json").json
    assert (found["same"], found["looser"], found["stricter"], found["changed"]) == (False, 1, 0, 1)
    assert found["changes"][0] == {
        "path": "tools.refund.sla", "old": 900, "new": 60, "direction": "changed", "line": 8,
        "column": 10,
    }  # fmt: skip
    assert found["new"]["file"] == "a b.yaml"
    ended = hitl_bare("policy", "diff", "policies.yaml", name, "--limit", "1")
    assert "the first 1 of 2 are shown" in ended.err


def test_two_that_mean_the_same_are_said_to(hitl_bare, folder, policy):
    name = changed(folder, "# another layout\n" + policy.replace("version: 1\n", ""))
    ended = hitl_bare("policy", "diff", "policies.yaml", name)
    assert (ended.status, ended.out) == (0, "both mean the same\n")
    found = hitl_bare("policy", "diff", "policies.yaml", name, "--json").json
    assert (found["same"], found["changes"]) == (True, [])


# backtest


@pytest.fixture
def recorded(hitl):
    """Three refunds of 80 that were gated: one rejected, one approved, one still waits."""
    for thread in ("rejected", "approved", "open"):
        hitl.waits(thread, "large.yaml")
    hitl("reject", "rejected", "--as", "bea", "--reason", "no")
    hitl("approve", "approved", "--as", "ana")
    return hitl


def test_a_policy_that_lets_nothing_more_run_disputes_nothing(recorded):
    ended = recorded("policy", "backtest", "policies.yaml", "--json")
    assert ended.status == 0
    assert ended.json["gated"]["before"] == ended.json["gated"]["after"]
    assert (ended.json["unreadable"], ended.json["disputed"], ended.json["would_run"]) == (0, 0, [])
    assert all(one["from"] == one["to"] for one in ended.json["moves"])


def test_a_looser_one_is_told_what_it_would_have_run(recorded, folder, policy):
    name = changed(folder, policy.replace("<= 50", "<= 500"), "looser one.yaml")
    ended = recorded("policy", "backtest", name, "--json")
    assert ended.status == 1
    found = ended.json
    assert {"from": "hard_gate", "to": "auto_approve", "calls": 3} in found["moves"]
    assert found["gated"]["after"] < found["gated"]["before"]
    (one,) = found["would_run"]
    assert found["disputed"] == 1
    assert (one["thread_id"], one["tool"], one["decision"], one["reviewer"]) == (
        "rejected", "refund", "reject", "bea",
    )  # fmt: skip
    assert one["args"] == {"order_id": "A-1", "amount": 80}
    assert (one["tier"], one["new_tier"], one["rule"]["id"]) == (
        "hard_gate",
        "auto_approve",
        "small",
    )
    shown = recorded("policy", "backtest", name)
    assert shown.status == 1
    assert "1 call that reviewers rejected or edited would have run:" in shown.out
    assert "rejected by bea; auto_approve by small: rule `small` applies" in shown.out
    assert "was \\ would be" in shown.out


def test_an_edited_call_is_disputed_as_it_was(hitl, folder, policy):
    hitl.waits("t", "large.yaml")
    hitl("edit", "t", "--args", '{"order_id": "A-1", "amount": 20}')
    name = changed(folder, policy.replace("<= 50", "<= 500"))
    (one,) = hitl("policy", "backtest", name, "--json").json["would_run"]
    assert (one["decision"], one["args"]["amount"], one["revision"]) == ("edit", 80, 1)


def test_a_tool_that_the_candidate_does_not_name_is_gated(recorded, folder):
    name = changed(folder, "tools: {other: {effect: read}}")
    found = recorded("policy", "backtest", name, "--json").json
    assert found["after"]["hard_gate"] == found["calls"]


def test_arguments_that_are_hidden_from_reviewers_stay_hidden(recorded, folder, policy):
    text = policy.replace("<= 50", "<= 500").replace("sla: 900", "sla: 900\n    redact: [order_id]")
    (one,) = recorded("policy", "backtest", changed(folder, text), "--json").json["would_run"]
    assert one["args"] == {"order_id": "[hidden by policy]", "amount": 80}


def test_calls_are_chosen_by_time_and_graph(recorded, folder, policy):
    name = changed(folder, policy.replace("<= 50", "<= 500"))

    def calls(*args):
        return recorded("policy", "backtest", name, *args, "--json").json["calls"]

    everything = calls()
    assert everything >= 3
    assert calls("--since", "1h") == calls("--graph", "desk") == everything
    assert calls("--since", "2020-01-01") == calls("--since", "2020-01-01T00:00:00Z") == everything
    assert calls("--since", "2999-01-01") == calls("--graph", "other") == 0
    ended = recorded("policy", "backtest", name, "--since", "2999-01-01")
    assert (ended.status, ended.out.splitlines()[0]) == (
        0, "0 recorded calls judged again by other.yaml",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["soon", "7", "7y", "-7d", "999999999w", "", "\x1b[31m"])
def test_a_since_that_is_no_time_is_wrong_usage(hitl, value):
    ended = hitl("policy", "backtest", "policies.yaml", f"--since={value}")
    assert ended.status == 2
    assert "write it like 7d" in ended.err
    assert unseen(ended.err) == set()


def test_the_list_has_a_limit_and_starts_with_the_newest(hitl, folder, policy):
    for thread in ("first", "second", "third"):
        hitl.waits(thread, "large.yaml")
        hitl("reject", thread)
    name = changed(folder, policy.replace("<= 50", "<= 500"))
    found = hitl("policy", "backtest", name, "--limit", "2", "--json").json
    assert (found["disputed"], [one["thread_id"] for one in found["would_run"]]) == (
        3, ["third", "second"],
    )  # fmt: skip
    assert "the newest 2 are shown" in hitl("policy", "backtest", name, "--limit", "2").err


def test_rows_that_somebody_changed_are_counted(recorded, database_url, folder, policy):
    name = changed(folder, policy.replace("<= 50", "<= 500"))
    before = recorded("policy", "backtest", name, "--json").json["calls"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE hitl.judgement SET args = '[7]' WHERE thread_id = 'open'")
        connection.execute("UPDATE hitl.judgement SET verdict = '7', confidence = 'NaN'")
    found = recorded("policy", "backtest", name, "--json").json
    assert found["unreadable"] >= 1
    assert found["calls"] + found["unreadable"] == before
    assert " left out" in recorded("policy", "backtest", name).out


def test_hostile_calls_show_plainly(hitl, folder):
    hitl("run", "hostile", "x", "--thread", "t\u202e")
    hitl("reject", "t\u202e", "--as", "b\x1b[31m", "--reason", "no")
    name = changed(folder, 'tools: {"*": {effect: read}}')
    ended = hitl("policy", "backtest", name)
    assert ended.status == 1
    assert unseen(ended.out + ended.err) == set()
    ended = hitl("policy", "backtest", name, "--json")
    assert ended.out.isascii()
    assert ended.json["would_run"]


def test_on_a_terminal_a_long_run_shows_how_far_it_is(monkeypatch):
    from hitl_agent.cli import output
    from hitl_agent.cli.policy_report import watched
    from hitl_agent.policy import Tier
    from hitl_agent.policy.backtest import RecordedCall

    calls = [RecordedCall("t", str(i), 1, "look", {}, Tier.HARD_GATE, None) for i in range(2500)]
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "err", console)
    states = []
    for index, one in enumerate(watched(calls, json_=False)):
        assert one is calls[index]
        if index == 2400:
            states.append(console._live_stack[0].get_renderable())
    assert [str(one.text) for one in states] == ["2,000 calls"]
    assert list(watched(calls, json_=True)) == calls


# hostile words, processes

ESC = "\x1b[31m\x1b]0;x\x07\u202e\u200b"


@pytest.mark.parametrize(
    "args",
    [
        ("check", f"{ESC}.yaml"), ("test", f"{ESC}.yaml"), ("diff", ESC, ESC), ("suggest", ESC),
        ("backtest", ESC), ("explain", ESC), ("explain", "refund", "--policy", ESC),
        ("explain", "refund", "--args", json.dumps({ESC: ESC, "amount": ESC})),
        ("explain", "refund", "--args", f"@{ESC}"), ("explain", "refund", "--actor", ESC),
        ("explain", "refund", "--untrusted", ESC), ("explain", "refund", "--category", ESC),
        ("explain", "refund", "--now", ESC), ("explain", "refund", "--confidence", ESC),
        ("check", "policies.yaml", "--graph", ESC), (ESC,),
    ],
)  # fmt: skip
def test_text_shows_plainly(hitl_bare, args):
    for more in ((), ("--json",)):
        ended = hitl_bare("policy", *args, *more)
        assert unseen(ended.out + ended.err) == set()
        assert "Traceback" not in ended.err
    assert (ended.out + ended.err).isascii()


def test_a_file_with_a_hostile_name_is_checked(hitl_bare, folder):
    name = changed(folder, "tools: {a: {effect: raed}}", f"{ESC} x.yaml")
    ended = hitl_bare("policy", "check", name)
    assert ended.status == 1
    assert unseen(ended.out + ended.err) == set()
    assert "\\x1b[31m" in ended.out


@pytest.mark.slow
def test_processes_of_their_own(hitl, folder, policy):
    hitl.waits("t", "large.yaml")
    hitl("reject", "t", "--as", "bea")
    name = changed(folder, policy.replace("<= 50", "<= 500") + TESTED)
    assert hitl.process("policy", "check", name).status == 0
    assert hitl.process("policy", "test", name).status == 1
    assert hitl.process("policy", "explain", "refund", "--json").json["tier"] == "hard_gate"
    assert hitl.process("policy", "diff", "policies.yaml", name, "--json").json["looser"] == 1
    assert hitl.process("policy", "backtest", name, "--json").status == 1
    listed = hitl.process("policy", "suggest", "-", "--json", stdin=json.dumps(LISTED))
    assert len(listed.json["tools"]) == 2
    assert hitl.process("policy").status == 2


@pytest.mark.slow
def test_a_reader_that_goes_away_sees_no_traceback(hitl_bare):
    command = f"'{sys.executable}' -m hitl_agent policy suggest --graph desk"
    done = subprocess.run(
        f"set -o pipefail; {command} | head -c 20",
        shell=True, executable="/bin/bash", cwd=hitl_bare.folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_the_commands_cost_the_list_nothing(hitl_bare):
    """What they need is loaded when they run."""
    code = (
        "import sys\nimport hitl_agent.cli.app\n"
        "print(*[one for one in sys.modules if 'policy_' in one or one.endswith('.backtest')])"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=hitl_bare.folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == []
