"""What happens in the demo, and the proof that it happened once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.database import Refund, new_database, refunds
from demo.decisions import Decisions
from demo.mail import Mail, mail_server, mails
from demo.terminal import DemoFailed, Hitl, say
from hitl_agent import Runtime
from hitl_agent.storage.database import close_shared
from hitl_agent.storage.location import DATABASE_URL, is_embedded
from tools.mail import MAIL_FROM, SMTP_URL
from tools.order_desk import setup

THREAD = "refund-A-1001"
RUNBOOK = "demo/refund.yaml"

_DONE, _WAITING = 0, 3


def tell(mailbox: Path, decisions: Decisions | None) -> None:
    """Run the order desk, let its calls be decided, and check what came of it.

    Args:
        mailbox: a directory for the mail; it does not exist yet.
        decisions: what to answer, or None to ask the person at the terminal.

    Raises:
        DemoFailed: a command failed, or something happened that was not recorded, or twice.
    """
    where = "the embedded PostgreSQL" if is_embedded() else f"the server of {DATABASE_URL}"
    database_url = new_database()
    migrate(database_url)
    setup(database_url)
    seeded = set(refunds(database_url))
    try:
        with Runtime.open(database_url) as runtime, mail_server(mailbox) as smtp_url:
            say("An order desk follows a runbook. `policies.yaml` lets a refund of up to 50 run;")
            say("a larger one waits for a person, and so does every e-mail.")
            say(f"Database: `{NAME}` on {where}. Mail: {smtp_url}.")
            variables = {DATABASE_URL: database_url, SMTP_URL: smtp_url, MAIL_FROM: SENDER}
            _play(Hitl(attended=decisions is None, **variables), runtime, decisions)
            new = [one for one in refunds(database_url) if one not in seeded]
            _conclude(runtime, new, mails(mailbox))
    finally:
        close_shared()
    say("\nSee all that happened:")
    say(f"  {DATABASE_URL}={shlex.quote(database_url)} hitl history {THREAD}")


def _play(hitl: Hitl, runtime: Runtime, decisions: Decisions | None) -> None:
    """Run the agent, and let each call that waits be answered."""
    hitl("run", "order_desk", "--runbook", RUNBOOK, "--thread", THREAD, ends=[_WAITING])
    hitl("list")
    if decisions is None:
        hitl("review", ends=[_DONE, _WAITING], timeout=None)
    else:
        hitl("show", THREAD)
        for request in runtime.waiting(THREAD):
            answer = decisions.decisions.get(request.call.tool)
            if answer is None:
                raise DemoFailed(
                    f"`{request.call.tool}` waits, and the file of decisions does not name it",
                    hint="add it there, or decide at a terminal",
                )
            hitl(
                answer.decision,
                THREAD,
                *("--call", request.call.call_id, "--as", decisions.reviewer),
                *("--reason", answer.reason),
                ends=[_DONE, _WAITING],
            )
    hitl("list")


def _conclude(runtime: Runtime, new: Sequence[Refund], sent: Sequence[Mail]) -> None:
    """Compare what is there with what the record says was done, and tell it."""
    there = {one.refund_id: f"refund of {one.amount} {one.currency} for {one.order_id}" for one in new}
    mail = {one.message_id: f"e-mail to {one.to}: {one.subject}" for one in sent}
    entries = runtime.history(THREAD)
    _check("refunds in the database", [one.refund_id for one in new], _done(entries, "refund_id"))
    _check("e-mails in the mailbox", [one.message_id for one in sent], _done(entries, "message_id"))
    say("\nIn the database and in the mailbox is what the record says was done:")
    decided = {one["call_id"]: one["body"] for one in entries if one["kind"] == "decision"}


def _done(entries: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """Return what the results of the calls that succeeded have under a key."""
    results = [
        json.loads(one["body"]["result"]["content"]) for one in entries if one["kind"] == "succeeded"
    ]
    return [one[key] for one in results if key in one]


def _check(what: str, there: Sequence[Any], recorded: Sequence[Any]) -> None:
    if sorted(there) != sorted(recorded) or len(set(there)) != len(there):
        raise DemoFailed(f"the {what} are {list(there)}, the record says {list(recorded)}")
