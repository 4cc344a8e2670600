"""Which database: an option, the environment, or the embedded server."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATABASE_URL = "HITL_DATABASE_URL"
DATA_DIR = "HITL_DATA_DIR"


def data_dir() -> Path:
    """Return the directory that holds the embedded server's data.

    `HITL_DATA_DIR` if set, else the user's data directory of this platform.
    """
    given = os.environ.get(DATA_DIR)
    return Path(given) if given else platformdirs.user_data_path("hitl_agent", appauthor=False)


def is_embedded(explicit: str | None = None) -> bool:
    """Whether no server is named, so that the embedded one is used."""
    return not (explicit or os.environ.get(DATABASE_URL))


def resolve_database_url(explicit: str | None = None) -> str:
    """Return the URL of the database to use, starting the embedded server when none is named.

    Args:
        explicit: a `postgresql://` URL, or nothing to look at `HITL_DATABASE_URL`.

    Raises:
        DatabaseUnavailable: no server is named and the embedded one cannot be started.
    """
    url = explicit or os.environ.get(DATABASE_URL)
    if url:
        return url
    from hitl_agent.storage.embedded import start  # noqa: PLC0415  only when it is wanted

    return start(data_dir() / "postgres")
