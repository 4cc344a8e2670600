"""The `hitl` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from hitl_agent.cli.app import app

        app(prog_name="hitl")
    except KeyboardInterrupt:  # while the modules were still being loaded
        sys.exit(130)
