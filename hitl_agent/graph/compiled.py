"""A compiled graph that shows itself without the network."""

from __future__ import annotations

import copy
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.graph.state import CompiledStateGraph


class Graph(CompiledStateGraph[Any, Any, Any, Any]):
    """LangGraph's compiled graph; in a notebook its picture is Mermaid text.

    LangGraph's own display sends the graph to a web service for the picture. Jupyter and VS Code
    draw Mermaid in Markdown by themselves; elsewhere the text is shown.
    """

    @classmethod
    def of(cls, compiled: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig) -> Graph:
        """Return the graph as one of ours, with a config bound to it."""
        # a plain copy: LangGraph's own leaves out what it keeps for states that are pydantic models
        graph = copy.copy(compiled)
        graph.__class__ = cls
        graph.config = merge_configs(compiled.config, config)
        return cast("Graph", graph)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        mermaid = self.get_graph().draw_mermaid()
        return {"text/plain": mermaid, "text/markdown": f"```mermaid\n{mermaid}```"}
