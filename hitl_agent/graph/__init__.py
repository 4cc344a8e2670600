"""The LangGraph nodes: thin translations between the graph's state and the rooms below."""
