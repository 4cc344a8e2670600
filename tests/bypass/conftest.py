from __future__ import annotations

from collections.abc import Iterator

import pytest

from hitl_agent import Runtime


@pytest.fixture
def runtime(database_url: str) -> Iterator[Runtime]:
    with Runtime.open(database_url) as opened:
        yield opened
