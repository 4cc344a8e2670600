"""`make demo`: an order desk whose large refund and e-mail wait for a person.

At a terminal the person there is asked; elsewhere, or with `--unattended`, a file decides. Every
`hitl` command is a process of its own, shown as typed and with what it really printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from demo.decisions import load_decisions
from demo.story import tell
from demo.terminal import say
from hitl_agent.errors import HitlError

DECISIONS = Path(__file__).parent / "decisions.yaml"


def main() -> int:
    """Run the demo and return the exit status."""
    options = _options()
    attended = sys.stdin.isatty() and sys.stdout.isatty() and not options.unattended
    try:
        decisions = None if attended else load_decisions(options.decisions)
        with tempfile.TemporaryDirectory(prefix="hitl-demo-") as folder:
            tell(options.mailbox or Path(folder) / "mailbox", decisions)
    except HitlError as error:
        say(f"\nthe demo failed: {error}")
        if error.hint:
            say(f"next: {error.hint}")
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--unattended",
        action="store_true",
        help="do not ask, decide by the file, at a terminal too",
    )
    parser.add_argument(
        "--decisions",
        type=Path,
        default=DECISIONS,
        metavar="FILE",
        help="what to decide unattended",
    )
    parser.add_argument(
        "--mailbox", type=Path, metavar="DIR", help="keep the mail in this Maildir, a new one"
    )
    options = parser.parse_args()
    if options.mailbox and options.mailbox.exists():
        parser.error(f"`{options.mailbox}` exists; name a directory that is not there yet")
    return options


if __name__ == "__main__":
    sys.exit(main())
