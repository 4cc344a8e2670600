"""`make demo` does what it shows, unattended and with a person at the terminal."""

from __future__ import annotations

import mailbox
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from demo.database import NAME, new_database, refunds, without_password
from demo.proof import once_each
from demo.terminal import DemoFailed, Hitl
from tools.order_desk import setup

ROOT = Path(__file__).parents[1]
SEEDED = 2

pytestmark = pytest.mark.slow


@pytest.fixture
def database(server_url, monkeypatch):
    """The demo's database on the test server."""
    monkeypatch.setenv("HITL_DATABASE_URL", server_url)
    yield make_conninfo(server_url, dbname=NAME)
    with psycopg.connect(server_url, autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(NAME)))


def unattended(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def refunded(database_url):
    return [(one.order_id, one.amount) for one in refunds(database_url)[SEEDED:]]


def received(folder):
    return [(one["To"], one["Subject"]) for one in mailbox.Maildir(folder)]


def plain(line):
    """A line without what differs from run to run: numbers, and how far a cut text reaches."""
    return re.sub(r"\d+", "#", line).split("…")[0][:150]


def test_without_a_terminal_the_file_decides_and_all_that_was_approved_happens_once(
    database, tmp_path
):
    done = unattended("--mailbox", str(tmp_path / "mail"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert refunded(database) == [("A-1002", "24.90"), ("A-1001", "180.00")]
    assert received(tmp_path / "mail") == [("ada@example.com", "Your refund for order A-1001")]
    commands = [line for line in done.stdout.splitlines() if line.startswith("$ hitl ")]
    assert [line.split()[2] for line in commands] == [
        *("run", "list", "show", "approve", "approve", "list")
    ]
    assert "once     refund of 24.90 EUR for A-1002: within the limit" in done.stdout
    assert "once     refund of 180.00 EUR for A-1001: approved by ana" in done.stdout
    assert "once     e-mail to ada@example.com, " in done.stdout
    printed = iter([plain(line) for line in done.stdout.splitlines()])
    readme = (ROOT / "README.md").read_text("utf-8")
    for line in readme.split("<!-- demo -->\n```console\n")[1].split("\n```")[0].splitlines():
        assert line == "[…]" or plain(line) in printed, f"the README shows another line: {line}"


def test_every_run_starts_from_the_seeded_orders_also_on_a_url_of_its_own(database, monkeypatch):
    for url in (os.environ["HITL_DATABASE_URL"], database):
        monkeypatch.setenv("HITL_DATABASE_URL", url)
        setup(new_database())
        with psycopg.connect(database, autocommit=True) as connection:
            assert connection.execute("DELETE FROM order_desk.refunds").rowcount == SEEDED


def test_the_url_that_is_printed_holds_no_password():
    shown = without_password("postgresql://ada:s3cret@db.internal:5433/shop?sslmode=require")
    assert shown.startswith(f"postgresql:///{NAME}?")
    assert conninfo_to_dict(shown) == {
        "user": "ada",
        "host": "db.internal",
        "port": "5433",
        "dbname": NAME,
        "sslmode": "require",
    }


def test_a_command_that_ends_in_another_way_than_it_has_to_fails_the_demo():
    with pytest.raises(DemoFailed, match="`hitl graph none` ended with status 2"):
        Hitl(attended=False)("graph", "none")


def test_what_the_file_rejects_never_happens(database, tmp_path):
    decisions = tmp_path / "decisions.yaml"
    decisions.write_text(
        """
        reviewer: ben
        decisions:
          refund_order: {decision: reject, reason: no photos came}
          send_email: {decision: reject, reason: nothing to write about}
        """
    )
    done = unattended("--decisions", str(decisions), "--mailbox", str(tmp_path / "mail"))
    assert done.returncode == 0, done.stdout
    assert refunded(database) == [("A-1002", "24.90")]
    assert received(tmp_path / "mail") == []
    assert "never    lamps.1: rejected by ben" in done.stdout
    assert "never    letter.1: rejected by ben" in done.stdout


def test_a_tool_that_the_file_does_not_name_stays_undecided_and_the_demo_fails(database, tmp_path):
    decisions = tmp_path / "decisions.yaml"
    decisions.write_text("{reviewer: ben, decisions: {send_email: {decision: approve}}}")
    done = unattended("--decisions", str(decisions), "--mailbox", str(tmp_path / "mail"))
    assert done.returncode == 1
    assert "`refund_order` waits, and the file of decisions does not name it" in done.stdout
    assert refunded(database) == [("A-1002", "24.90")]
    assert received(tmp_path / "mail") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reviewer: ben", "decisions.yaml:1:1: `decisions` is missing"),
        ("{reviewer: ben, decisions: {send_email: {decision: maybe}}}", "decisions.yaml:1:"),
        (None, "there is no file"),
    ],
)
@pytest.mark.usefixtures("database")
def test_a_file_of_decisions_that_cannot_be_used_is_refused_before_anything_runs(
    tmp_path, text, message
):
    decisions = tmp_path / "decisions.yaml"
    if text is not None:
        decisions.write_text(text)
    done = unattended("--decisions", str(decisions))
    assert done.returncode == 1
    assert message in done.stdout
    assert "$ hitl" not in done.stdout


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("HITL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    done = unattended()
    assert done.returncode == 1
    assert "the demo failed: the database does not answer" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_person_at_the_terminal_is_asked_and_gets_what_they_decide(database, tmp_path):
    with Terminal("--mailbox", str(tmp_path / "mail")) as person:
        person.sees("refund_order", "[q] quit")
        person.types("a")
        person.sees("reason")
        person.types("the photos came")
        person.sees("send_email", "[q] quit")
        person.types("r")
        person.sees("reason")
        person.types("she was called")
        person.sees("nothing waits", "never    letter.1: rejected by")
        assert person.leaves() == 0
    assert refunded(database) == [("A-1002", "24.90"), ("A-1001", "180.00")]
    assert received(tmp_path / "mail") == []


def test_a_person_who_quits_leaves_the_calls_waiting(database, tmp_path):
    with Terminal("--mailbox", str(tmp_path / "mail")) as person:
        person.sees("refund_order", "[q] quit")
        person.types("q")
        person.sees("not yet  lamps.1", "not yet  letter.1")
        assert person.leaves() == 0
    assert refunded(database) == [("A-1002", "24.90")]
    assert received(tmp_path / "mail") == []


@pytest.mark.usefixtures("database")
def test_unattended_at_a_terminal_goes_by_the_file(tmp_path):
    with Terminal("--unattended", "--decisions", str(tmp_path / "none.yaml")) as person:
        person.sees("there is no file")
        assert person.leaves() == 1


@pytest.mark.usefixtures("database")
def test_an_effect_that_is_not_on_the_record_fails_the_demo():
    url = new_database()
    setup(url)
    row = refunds(url)[0]
    recorded = {
        "kind": "succeeded",
        "call_id": "one",
        "body": {"result": {"content": f'{{"refund_id": {row.refund_id}}}'}},
    }
    key = str(row.refund_id)
    once_each([(key, "a refund")], [recorded])
    for there, history in (
        ([(key, "a refund")], []),
        ([], [recorded]),
        ([(key, "a refund"), (key, "a refund")], [recorded]),
    ):
        with pytest.raises(DemoFailed, match="the record says"):
            once_each(there, history)


class Terminal:
    """`python -m demo` on a terminal of its own, and the person before it."""

    def __init__(self, *arguments):
        self._end, end = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TERM": "dumb", "COLUMNS": "120"},
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
        )
        os.close(end)
        self._unread = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def sees(self, *texts, seconds=60):
        """Read until each text came, one after the other."""
        until = time.monotonic() + seconds
        for text in texts:
            while text not in self._unread:
                ready, _, _ = select.select([self._end], [], [], max(0, until - time.monotonic()))
                assert ready, f"`{text}` did not come, but: {self._unread}"
                self._unread += self._read()
            self._unread = self._unread.partition(text)[2]

    def types(self, line):
        os.write(self._end, f"{line}\n".encode())

    def leaves(self):
        """Read to the end and return the exit status."""
        while self._read():
            pass
        return self._process.wait(timeout=30)

    def _read(self):
        try:
            return os.read(self._end, 4096).decode(errors="replace")
        except OSError:  # the last process that had the terminal open is gone
            return ""
