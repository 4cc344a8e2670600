"""Real tools, judged by what they say of themselves, against what is known of them."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from hitl_agent.policy.suggest import ToolDescription, read_tools, suggest_tool

DATA = Path(os.environ.get("HITL_EVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
MCP = DATA / "mcp_tools_dev.jsonl"
BANKING = DATA / "agentdojo_banking.json"
RETAIL = DATA / "tau_retail_tools.json"

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in (MCP, BANKING, RETAIL)),
    reason=f"no evaluation data: `{DATA}` has not all of it; set HITL_EVAL_DATA",
)


def test_tools_of_servers_are_judged_as_their_annotations_say(record_property, capsys):
    """The annotations are the labels, and are not shown to the judge."""
    counts = Counter()
    for line in MCP.read_text("utf-8").splitlines():
        entry = json.loads(line)
        bare = {key: value for key, value in entry.items() if key != "annotations"}
        (tool,) = read_tools(json.dumps(bare), file=MCP.name)
        label = "read" if entry["annotations"]["readOnlyHint"] else "write"
        counts[label, suggest_tool(tool).effect] += 1
    for label in ("read", "write"):
        row = {effect: counts[label, effect] for effect in EFFECTS}
        record_property(label, row)
        with capsys.disabled():
            told = ", ".join(f"{count} {effect}" for effect, count in row.items())
            sys.stdout.write(f"\nMCP tools labelled {label}: judged {told}\n")
    assert counts["write", "read"] / total(counts, "write") <= 0.05
    assert counts["read", "read"] / total(counts, "read") >= 0.85


EFFECTS = ("read", "write", "irreversible", "unknown")


def total(counts, label):
    return sum(counts[label, effect] for effect in EFFECTS)


def test_a_banks_tools_are_told_apart():
    data = json.loads(BANKING.read_text("utf-8"))
    tools = {tool.name: tool for tool in read_tools(json.dumps(data["tools"]), file=BANKING.name)}
    found = {name: suggest_tool(tool) for name, tool in tools.items()}
    writes = set(data["write_tools"])
    assert len(writes) == 5
    assert {name for name, one in found.items() if one.effect == "read"} == set(tools) - writes
    for name in ("get_most_recent_transactions", "read_file"):
        assert found[name].untrusted_output
    assert not found["get_balance"].untrusted_output
    assert found["send_money"].open_world
    assert found["send_money"].amount == "amount"


def test_a_shops_tools_are_told_apart():
    data = json.loads(RETAIL.read_text("utf-8"))
    found = {
        tool.name: suggest_tool(ToolDescription(tool.name, tool.description, tool.schema)).effect
        for tool in read_tools(json.dumps(data["tools"]), file=RETAIL.name)
    }
    reads = set(data["kinds"]["read"])
    assert {name for name, effect in found.items() if effect == "read"} == reads
