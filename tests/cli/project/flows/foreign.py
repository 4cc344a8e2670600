"""A graph that knows nothing of hitl_agent and asks in its own way."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    messages: list
    judged: str
    answer: str


def ask(state: State) -> State:
    return {"answer": interrupt("may I \x1b[31m?"), "judged": "surely"}


empty = StateGraph(State)
graph = StateGraph(State)
graph.add_node("ask", ask)
graph.add_edge(START, "ask")
graph.add_edge("ask", END)
