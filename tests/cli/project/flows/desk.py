"""An order desk that writes what it does to the file that EFFECTS names."""

import os
import time
from datetime import timedelta
from pathlib import Path

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ConfigDict

from hitl_agent import RunbookPlanner, build_graph

REFUNDS = "not a graph"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    order_id: str


class Refund(Order):
    amount: int


class Send(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    text: str


class Slow(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seconds: float


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


def effect(text: str) -> None:
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(text + "\n")


def look_up(order_id: str) -> dict:
    """Look an order up."""
    return {"order_id": order_id, "paid": 80}


def refund(order_id: str, amount: int) -> str:
    """Give money back."""
    effect(f"refund {order_id} {amount}")
    return f"refunded {amount}"


def send(to: str, text: str) -> str:
    """Send a message."""
    effect(f"send {to}")
    return "sent"


def slow(seconds: float) -> str:
    """Take a while."""
    effect("slow")
    time.sleep(seconds)
    return "rested"


def fail() -> str:
    """Fail."""
    raise RuntimeError("the desk is on fire")


TOOLS = [
    StructuredTool.from_function(look_up, args_schema=Order),
    StructuredTool.from_function(refund, args_schema=Refund),
    StructuredTool.from_function(send, args_schema=Send),
    StructuredTool.from_function(slow, args_schema=Slow),
    StructuredTool.from_function(fail, args_schema=Nothing),
]


def make():
    return build_graph(
        planner=RunbookPlanner(),
        tools=TOOLS,
        policy=Path(__file__).parent.parent / "policies.yaml",
        call_timeout=timedelta(seconds=float(os.environ.get("CALL_TIMEOUT", "300"))),
    )


def make_with(config):
    return make()


async def make_later():
    return make()


graph = make()
compiled = graph.compile()
