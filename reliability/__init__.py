"""What becomes of effects when things go wrong: plain LangGraph beside hitl_agent, in one table."""
