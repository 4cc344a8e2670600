# ruff: noqa: T201
"""A graph whose every text tries to act on the terminal that shows it."""

import logging
import sys
from pathlib import Path

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool

from hitl_agent import build_graph

ESC = "\x1b[31;5mRED\x1b]0;title\x07\x1b[2J\x9b31m"
BIDI = "\u202eevil\u202c\u2066\u200b\u200d\ufeff\u00ad\U000e0041"
LINES = "\r\nstatus     done\n\rauto_approve pay: fine\x0b\x0c\x85\u2028\u2029"
EVIL = f"{ESC}{BIDI}{LINES}[red]markup[/red][link=file:///etc]x[/link] :smile: \x7f\x08 back\\slash"
NAME = f"pay{ESC}{BIDI}\n[red]x"
CALL = "c1'; touch /tmp/hitl-was-here;\x1b[2J $(id) `id`"


def pay(**args) -> str:
    """Pay."""
    print(f"printed {EVIL}")
    print(f"complained {EVIL}", file=sys.stderr)
    logging.getLogger("pay").warning("logged %s", EVIL)
    return f"paid {EVIL}"


SCHEMA = {
    "title": "pay",
    "type": "object",
    "properties": {"to": {"type": "string"}, EVIL: {"type": "string"}},
    "required": ["to"],
}


class Planner:
    def plan(self, state, tools, config):
        messages = state["messages"]
        if any(isinstance(one, ToolMessage) for one in messages):
            return AIMessage(f"all is paid {EVIL}")
        call = {"name": NAME, "id": CALL, "type": "tool_call"}
        args = {"to": EVIL, EVIL: "long " * 5000}
        unknown = {"name": f"gone{ESC}", "id": "c2", "type": "tool_call", "args": {EVIL: EVIL}}
        return AIMessage(f"I say {EVIL}", tool_calls=[{**call, "args": args}, unknown])

    async def aplan(self, state, tools, config):
        return self.plan(state, tools, config)


class Silent(Planner):
    def plan(self, state, tools, config):
        return AIMessage("")


class Broken(Planner):
    def plan(self, state, tools, config):
        raise RuntimeError(f"no plan {EVIL}")


def make(planner):
    return build_graph(
        planner=planner,
        tools=[StructuredTool(name=NAME, description="pay", args_schema=SCHEMA, func=pay)],
        policy=Path(__file__).parent.parent / "policies.yaml",
    )


graph = make(Planner())
silent = make(Silent())
broken = make(Broken())
print(f"imported {EVIL}")
