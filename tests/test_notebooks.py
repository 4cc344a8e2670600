"""The notebook runs in a real kernel, shows what it says, and needs no network."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"

# sees every connection that Python code opens; the kernel's own sockets and libpq's are C
GUARD = """
import os, sys

def guard(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in ("localhost", "127.0.0.1", "::1"):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {host}\\n")
        raise OSError(f"no network here: {host}")

sys.addaudithook(guard)
"""


@pytest.fixture
def network_log(tmp_path, monkeypatch):
    """Where a kernel started now notes each use of the network, which it is refused."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "guard"), str(ROOT))))
    monkeypatch.setenv("NETWORK_LOG", str(tmp_path / "network.log"))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path / "network.log"


def execute(notebook):
    NotebookClient(
        notebook,
        timeout=90,
        kernel_name="python3",
        resources={"metadata": {"path": str(QUICKSTART.parent)}},
    ).execute()
    return {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}


def text(outputs):
    """What a cell printed, or the plain text of its value."""
    shown = (one["text"] if "text" in one else one["data"]["text/plain"] for one in outputs)
    return "".join(shown)


@pytest.mark.slow
@pytest.mark.usefixtures("database_url")
def test_the_quick_start_stops_at_the_gate_and_goes_on_when_approved(network_log):
    shown = execute(nbformat.read(QUICKSTART, as_version=4))
    assert [
        one for outputs in shown.values() for one in outputs if one.get("name") == "stderr"
    ] == []
    assert not network_log.exists(), network_log.read_text()
    (picture,) = shown["graph"]
    assert "human_review" in picture["data"]["text/plain"]
    assert picture["data"]["text/markdown"].startswith("```mermaid\n")
    assert "image/png" not in picture["data"]
    assert "waived 30 of F-18" in text(shown["run"])
    assert "waived 120" not in text(shown["run"])
    assert text(shown["before"]) == "[('F-18', 30)]"
    waiting = text(shown["waiting"])
    assert waiting.startswith("waive\n{\n")
    assert "more than 50 is decided" in waiting
    assert "the parcel was lost" in waiting
    assert "approve edit reject respond" in waiting
    assert "approved by you: the carrier's letter is here" in text(shown["approve"])
    assert "waived 120 of F-17" in text(shown["approve"])
    assert text(shown["after"]) == "[('F-18', 30), ('F-17', 120)]"
    assert "waived 40 of F-17" in text(shown["edit"])
    told = [line.split()[1:] for line in text(shown["history"]).splitlines()]
    assert [line for line in told if line[0] == "large.1"] == [
        ["large.1", "verdict"],
        ["large.1", "request"],
        ["large.1", "decision", "you"],
        ["large.1", "grant", "reviewers"],
        ["large.1", "started"],
        ["large.1", "succeeded"],
    ]


@pytest.mark.slow
def test_a_use_of_the_network_would_be_seen(network_log):
    code = """
    import urllib.request
    try:
        urllib.request.urlopen("http://example.com", timeout=5)
    except OSError:
        pass
    """
    cell = nbformat.v4.new_code_cell("\n".join(line[4:] for line in code.splitlines()))
    execute(nbformat.v4.new_notebook(cells=[cell]))
    assert network_log.read_text() == "socket.getaddrinfo example.com\n"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name
)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
