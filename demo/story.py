"""What happens in the demo."""

from __future__ import annotations

import shlex
from pathlib import Path

from demo.database import NAME, new_database, refunds, without_password
from demo.decisions import Decisions
from demo.mail import mail_server, mails
from demo.proof import effects, once_each, outcome
from demo.terminal import DemoFailed, Hitl, say
from hitl_agent import Runtime
from hitl_agent.storage.database import close_shared
from hitl_agent.storage.location import DATABASE_URL, is_embedded
from hitl_agent.storage.migrate import migrate
from tools.mail import MAIL_FROM, SMTP_URL
from tools.order_desk import setup

THREAD = "refund-A-1001"
RUNBOOK = "demo/refund.yaml"
SENDER = "Order desk <desk@example.com>"

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
    seeded = refunds(database_url)
    try:
        with Runtime.open(database_url) as runtime, mail_server(mailbox) as smtp_url:
            say("An order desk follows a runbook. `policies.yaml` lets a refund of up to 50 run;")
            say("a larger one waits for a person, and so does every e-mail.")
            say(f"Database: `{NAME}` on {where}. Mail: {smtp_url}")
            variables = {DATABASE_URL: database_url, SMTP_URL: smtp_url, MAIL_FROM: SENDER}
            _play(Hitl(attended=decisions is None, **variables), runtime, decisions)
            history = runtime.history(THREAD)
            new = [one for one in refunds(database_url) if one not in seeded]
            found = effects(new, mails(mailbox))
            once_each(found, history)
            say("\nWhat came of it, in the record as in the database and the mailbox:")
            for line in outcome(found, history, runtime.waiting(THREAD)):
                say(f"  {line}")
    finally:
        close_shared()
    say("\nEverything that happened, in order:")
    say(f"  {DATABASE_URL}={shlex.quote(without_password(database_url))} hitl history {THREAD}")


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
