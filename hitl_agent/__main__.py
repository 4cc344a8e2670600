"""`python -m hitl_agent` is `hitl`."""

from hitl_agent.cli import main

main()
