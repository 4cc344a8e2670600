"""A workspace janitor: tidies the files of one directory.

The directory is `HITL_WORKSPACE`, or `workspace` where the graph is run.
"""

from __future__ import annotations

import os
from pathlib import Path

from hitl_agent import ChatModelPlanner, RunbookOrModel, build_graph
from tools.files import file_tools

PROMPT = """\
You tidy a workspace. List before you read, read before you change. Deleting is final and is shown
to a person first; if it is refused, leave the file where it is.
"""


def workspace() -> Path:
    """Return the directory that is tidied, made if it is not there."""
    path = Path(os.environ.get("HITL_WORKSPACE") or "workspace").resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


graph = build_graph(
    planner=RunbookOrModel(ChatModelPlanner(system_prompt=PROMPT)),
    tools=file_tools(workspace()),
    policy=Path(__file__).parent.parent / "policies.yaml",
)
