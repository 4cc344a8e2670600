"""The policy in force: one that is given, or a file that is read anew when it changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from hitl_agent.errors import ConfigurationError
from hitl_agent.policy.load import Policy, load_policy
from hitl_agent.policy.testing import run_tests

_log = logging.getLogger("hitl_agent.policy")


class PolicyInForce:
    """Holds the policy that calls are judged by.

    A file is looked at whenever the policy is asked for. A change takes effect if it can be read,
    fits the tools and passes its own tests; else the policy before it stays in force, and the log
    says so as an error.

    Args:
        policy: the policy, or the file that holds it.
        fits: told of each policy before it takes effect; raises if it does not fit.

    Raises:
        ConfigurationError: there is no policy to begin with.
    """

    def __init__(self, policy: Policy | Path | str, fits: Callable[[Policy], None]) -> None:
        self._lock = threading.Lock()
        self._fits = fits
        self._file = None if isinstance(policy, Policy) else Path(policy).absolute()
        self._seen = self._signature()
        self.problem: Exception | None = None
        self._policy = policy if isinstance(policy, Policy) else load_policy(policy)
        self._check(self._policy)

    def current(self) -> Policy:
        """Return the policy in force now."""
        if self._file is None or self._signature() == self._seen:
            return self._policy
        with self._lock:
            seen = self._signature()
            if seen != self._seen:
                self._seen = seen
                self._read()
        return self._policy

    def _read(self) -> None:
        try:
            policy = load_policy(str(self._file))
            self._check(policy)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, the old one holds
            self.problem = error
            _log.error(
                "the changed policy is refused, %s stays in force: %s", self._policy.digest, error
            )
            return
        self._policy, self.problem = policy, None
        _log.info("the policy changed to %s", policy.digest)

    def _check(self, policy: Policy) -> None:
        self._fits(policy)
        failed = [one for one in run_tests(policy) if not one.passed]
        if failed:
            raise ConfigurationError(
                f"{policy.file}: {len(failed)} of its own tests fail, the first: {failed[0]}",
                hint=f"see `hitl policy test {policy.file}`",
            )
        for remark in policy.remarks:
            _log.warning("%s", remark)

    def _signature(self) -> tuple[int, ...] | None:
        """Return what changes when the file does; None while it cannot be looked at."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        # an editor may set the time of the content; that of the inode nobody sets
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
