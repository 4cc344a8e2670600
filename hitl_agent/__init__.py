"""hitl_agent: a person decides what an agent may do that cannot be undone.

```python
from hitl_agent import Runtime, RunbookPlanner, build_graph
```

Names are loaded when they are first used: importing the package loads no database driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitl_agent.calls import ToolCall
    from hitl_agent.errors import HitlError, OutcomeUnknown, TimeUp
    from hitl_agent.execution import Happened, NotHappened
    from hitl_agent.graph.builder import build_graph, human_review, review_graph
    from hitl_agent.graph.chat_model import ChatModelPlanner
    from hitl_agent.graph.guard import ToolGuard, guard
    from hitl_agent.graph.middleware import HitlMiddleware
    from hitl_agent.graph.planner import Planner
    from hitl_agent.graph.runbook_planner import RunbookOrModel, RunbookPlanner
    from hitl_agent.graph.state import AgentState
    from hitl_agent.graph.tool_contract import contract, idempotency_key, time_left, transaction
    from hitl_agent.policy import Policy, Tier, Verdict, load_policy
    from hitl_agent.review import Approve, Decision, Edit, Reject, Respond, ReviewRequest
    from hitl_agent.runbook import Runbook, load_runbook
    from hitl_agent.runtime import Runtime
    from hitl_agent.storage.location import resolve_database_url

_HOMES = {
    "AgentState": "graph.state",
    "Approve": "review",
    "ChatModelPlanner": "graph.chat_model",
    "Decision": "review",
    "Edit": "review",
    "Happened": "execution",
    "HitlError": "errors",
    "HitlMiddleware": "graph.middleware",
    "NotHappened": "execution",
    "OutcomeUnknown": "errors",
    "Planner": "graph.planner",
    "Policy": "policy",
    "Reject": "review",
    "Respond": "review",
    "ReviewRequest": "review",
    "Runbook": "runbook",
    "RunbookOrModel": "graph.runbook_planner",
    "RunbookPlanner": "graph.runbook_planner",
    "Runtime": "runtime",
    "Tier": "policy",
    "TimeUp": "errors",
    "ToolCall": "calls",
    "ToolGuard": "graph.guard",
    "Verdict": "policy",
    "build_graph": "graph.builder",
    "contract": "graph.tool_contract",
    "guard": "graph.guard",
    "human_review": "graph.builder",
    "idempotency_key": "graph.tool_contract",
    "load_policy": "policy",
    "load_runbook": "runbook",
    "resolve_database_url": "storage.location",
    "review_graph": "graph.builder",
    "time_left": "graph.tool_contract",
    "transaction": "graph.tool_contract",
}

__all__ = [
    "AgentState",
    "Approve",
    "ChatModelPlanner",
    "Decision",
    "Edit",
    "Happened",
    "HitlError",
    "HitlMiddleware",
    "NotHappened",
    "OutcomeUnknown",
    "Planner",
    "Policy",
    "Reject",
    "Respond",
    "ReviewRequest",
    "Runbook",
    "RunbookOrModel",
    "RunbookPlanner",
    "Runtime",
    "Tier",
    "TimeUp",
    "ToolCall",
    "ToolGuard",
    "Verdict",
    "build_graph",
    "contract",
    "guard",
    "human_review",
    "idempotency_key",
    "load_policy",
    "load_runbook",
    "resolve_database_url",
    "review_graph",
    "time_left",
    "transaction",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module `hitl_agent` has no attribute `{name}`")
    value = getattr(import_module(f"hitl_agent.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
