"""The record: what happened, in an order that stands."""

from hitl_agent.audit.entry import Entry, Kind

__all__ = ["Entry", "Kind"]
