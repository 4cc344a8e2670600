"""Example graphs, named by `langgraph.json`."""
