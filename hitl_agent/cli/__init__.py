"""The `hitl` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitl_agent.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    try:
        from hitl_agent.cli.app import app

        app(prog_name="hitl")
    except KeyboardInterrupt:  # while the modules were still being loaded
        sys.exit(130)


def __getattr__(name: str) -> Any:
    """Load the Typer application when it is asked for."""
    if name != "app":
        raise AttributeError(f"module `hitl_agent.cli` has no attribute `{name}`")
    from hitl_agent.cli.app import app

    return app
