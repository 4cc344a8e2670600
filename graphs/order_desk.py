"""An order desk: looks up orders, refunds, cancels, changes addresses and writes to customers.

Run it with a runbook (`hitl run order_desk --runbook demo/refund.yaml`) or a chat model
(`hitl run order_desk "refund order A-1001" --model openai:gpt-5`).
"""

from __future__ import annotations

from pathlib import Path

from hitl_agent import ChatModelPlanner, RunbookOrModel, build_graph
from tools.mail import mail_tools
from tools.order_desk import order_desk_tools

PROMPT = """\
You work at an order desk. Look an order up before you change anything about it. Refund what the
task asks for and no more. Calls that carry risk are shown to a person first; if one is refused,
say so and do not try to reach the same end another way.
"""

graph = build_graph(
    planner=RunbookOrModel(ChatModelPlanner(system_prompt=PROMPT)),
    tools=[*order_desk_tools(), *mail_tools()],
    policy=Path(__file__).parent.parent / "policies.yaml",
)
