"""The same tests on a stock PostgreSQL 15 server, when one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run_as_owner, stock_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def stock_url() -> Iterator[str]:
    programs = stock_postgres()
    if programs is None:
        pytest.skip("no stock PostgreSQL 15 is installed in /usr/lib/postgresql/15")
    folder = Path(tempfile.mkdtemp(prefix="hitl-pg15-"))
    folder.chmod(0o777)
    data = str(folder / "data")
    run_as_owner(str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N")
    options = f"-h '' -k {folder} -c fsync=off -c full_page_writes=off"
    control = str(programs / "pg_ctl")
    log = str(folder / "log")
    run_as_owner(control, "-D", data, "-l", log, "-o", options, "-w", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        run_as_owner(control, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(300)
def test_graph_and_storage_pass_on_a_stock_server(stock_url: str) -> None:
    root = Path(__file__).parents[2]
    which = ["test_review_flow.py", "test_promises.py"]
    paths = [str(root / "tests" / "graph" / one) for one in which]
    paths += [
        str(root / "tests" / "storage" / one) for one in ("test_migrate.py", "test_record.py")
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *paths],
        cwd=root,
        env=os.environ | {"HITL_TEST_SERVER": stock_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
