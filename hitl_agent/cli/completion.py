"""What the shell offers when Tab is pressed. Never an error, never anything that shows wrongly."""

from __future__ import annotations

import os

from hitl_agent.review.rendering import visible
from hitl_agent.storage.location import DATABASE_URL, data_dir


def graph_names(incomplete: str) -> list[str]:
    """Return the graphs of the project."""
    from hitl_agent.project import find_project

    try:
        names = list(find_project().graphs)
    except Exception:  # noqa: BLE001  there is no place for an error here
        return []
    return _offered(names, incomplete)


def waiting_threads(incomplete: str) -> list[str]:
    """Return the threads that wait, if a database runs; none is started for this."""
    from hitl_agent.cli.options import use_database

    try:
        from hitl_agent.storage import reviews
        from hitl_agent.storage.database import shared_database
        from hitl_agent.storage.embedded import running

        use_database(None)
        if not os.environ.get(DATABASE_URL) and running(data_dir() / "postgres") is None:
            return []
        names = [one.thread_id for one in reviews.waiting(shared_database(), limit=200)]
    except Exception:  # noqa: BLE001  there is no place for an error here
        return []
    return _offered(names, incomplete)


def _offered(names: list[str], incomplete: str) -> list[str]:
    return [
        one for one in dict.fromkeys(names) if one.startswith(incomplete) and visible(one) == one
    ]
