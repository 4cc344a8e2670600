"""The notebooks run in a real kernel, show what they say, and need no network."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
VIEW = "application/vnd.jupyter.widget-view+json"

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


def execute(notebook, **options):
    NotebookClient(
        notebook,
        **options,
        timeout=90,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    ).execute()
    return {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}


def quietly(name, network_log):
    """Execute a notebook that says nothing to stderr and uses no network."""
    shown = execute(nbformat.read(NOTEBOOKS / name, as_version=4))
    assert [
        one for outputs in shown.values() for one in outputs if one.get("name") == "stderr"
    ] == []
    assert not network_log.exists(), network_log.read_text()
    return shown


def html(outputs):
    """The rich display of a cell's value."""
    (value,) = outputs
    return value["data"]["text/html"]


def text(outputs):
    """What a cell printed, or the plain text of its value."""
    shown = (one["text"] if "text" in one else one["data"]["text/plain"] for one in outputs)
    return "".join(shown)


@pytest.mark.slow
@pytest.mark.usefixtures("database_url")
def test_the_quick_start_stops_at_the_gate_and_goes_on_when_approved(network_log):
    shown = quietly("01_quickstart.ipynb", network_log)
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
@pytest.mark.usefixtures("database_url")
def test_a_policy_is_explained_tested_and_tried_on_what_happened(network_log):
    shown = quietly("02_write_a_policy.ipynb", network_log)
    assert "did you mean `amount`" in text(shown["mistake"])
    assert "hard_gate" in html(shown["explain"])
    assert "money leaves the house" in html(shown["explain"])
    assert "up to 50 is given back" in html(shown["explain-small"])
    tiers = [line.split()[:2] for line in text(shown["explain-unknown"]).splitlines()]
    assert tiers == [["refund", "hard_gate"], ["transfer", "hard_gate"], ["drop_table", "block"]]
    assert text(shown["test"]) == "passed small\npassed large\npassed dropped\n"
    assert text(shown["backtest"]) == "5 calls, 2 waited, 0 would have\n"
    assert "refund {'amount': 60} was answered with reject by ana" in text(shown["disputed"])
    assert "the proposal says auto_approve by the rule small" in text(shown["disputed"])


@pytest.mark.slow
@pytest.mark.usefixtures("database_url")
def test_graphs_agents_and_functions_of_ones_own_stop_at_the_gate(network_log):
    shown = quietly("03_gate_your_own_graph.ipynb", network_log)
    assert text(shown["run"]) == "[]"
    assert "the seat is sold to somebody else" in html(shown["wait"])
    assert text(shown["decide"]).startswith("[approved by you: she called us]\ncancelled B-17")
    assert text(shown["agent"]) == "[('cancel', {'booking': 'B-18'})]"
    assert "rejected by you, the call was not run: Bob has changed" in text(shown["reject"])
    assert text(shown["reject"]).endswith("['B-17']")
    assert text(shown["function"]) == "['B-17', 'B-18']"
    assert "approve by you now he wants it" in html(shown["history"])


@pytest.mark.slow
@pytest.mark.usefixtures("database_url")
def test_what_waits_is_reviewed_in_the_notebook(network_log):
    shown = quietly("04_review_in_the_notebook.ipynb", network_log)
    (waits,) = shown["review"]
    assert VIEW in waits["data"]
    assert "the invoice is due today" in waits["data"]["text/html"]
    assert waits["data"]["text/plain"].startswith("thread payment-")
    assert "the last answer was refused" not in waits["data"]["text/html"]
    assert text(shown["result"]) == "([], 'waiting')"
    assert "printer" in html(shown["edit"])
    assert "{'to': 'printer', 'amount': 100}" in text(shown["edited"])
    assert "[('printer', 100)]" in text(shown["approved"])
    assert text(shown["errors"]).startswith("nothing waits in thread `payment-")
    assert "approve by you agreed by telephone" in html(shown["history"])


@pytest.mark.slow
@pytest.mark.usefixtures("database_url")
def test_an_error_of_ours_is_shown_without_a_traceback(network_log):
    code = "from hitl_agent.notebook import review\nreview('none', reviewer='ana').approve()"
    cell = nbformat.v4.new_code_cell(code)
    shown = execute(nbformat.v4.new_notebook(cells=[cell]), allow_errors=True)
    (error,) = shown[cell["id"]]
    assert error["traceback"] == [
        "error: there is no thread `none`",
        "next: see the threads with `hitl list`",
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


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
