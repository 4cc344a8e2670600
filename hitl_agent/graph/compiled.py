"""A compiled graph that shows itself without the network."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph


class Graph(CompiledStateGraph[Any, Any, Any, Any]):
    """LangGraph's compiled graph; in a notebook its picture is Mermaid text.

    LangGraph's own display sends the graph to a web service for the picture. JupyterLab 4.1 and
    Notebook 7.1 draw Mermaid by themselves; elsewhere the text is shown.
    """

    @classmethod
    def of(cls, compiled: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig) -> Graph:
        """Return the graph as one of ours, with a config bound to it."""
        fields = {k: v for k, v in vars(compiled).items() if k != "__orig_class__"}
        return cls(**fields).with_config(config)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        mermaid = self.get_graph().draw_mermaid()
        return {"text/plain": mermaid, "text/vnd.mermaid": mermaid}
