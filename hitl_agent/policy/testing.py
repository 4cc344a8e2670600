"""The tests that a policy brings along: calls, and what is expected of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from hitl_agent.documents import show, suggest
from hitl_agent.policy.evaluate import Facts, Past, judge

if TYPE_CHECKING:
    from hitl_agent.policy.document import PolicyTest
    from hitl_agent.policy.load import Policy
    from hitl_agent.policy.verdict import Verdict


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What came of one test.

    Attributes:
        test: the test.
        number: its place among the tests, from 1.
        file: the policy's file.
        line: 1-based line of the test.
        column: 1-based column of it.
        verdict: what came.
        problem: why the test cannot be run as it is written, or None.
    """

    __test__ = False  # what collects tests by their names leaves it alone

    test: PolicyTest
    number: int
    file: str
    line: int
    column: int
    verdict: Verdict
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether what was expected came."""
        expect = self.test.expect
        if self.problem is not None or self.verdict.tier != expect.tier:
            return False
        return expect.rule is None or any(
            hit.id == expect.rule and hit.tier is self.verdict.tier for hit in self.verdict.rules
        )

    @property
    def name(self) -> str:
        """What the test is called in a message."""
        return show(self.test.name) if self.test.name else f"test {self.number}"

    @property
    def message(self) -> str:
        """What was expected and what came, in one line."""
        if self.problem is not None:
            return f"{self.name}: {self.problem}"
        expect, rules = self.test.expect, [hit.id for hit in self.verdict.rules]
        wanted = f"{expect.tier} by rule {show(expect.rule)}" if expect.rule else expect.tier
        came = f"{self.verdict.tier} by {', '.join(dict.fromkeys(rules))}"
        hint = ""
        if expect.rule is not None and expect.rule not in rules:
            hint = suggest(expect.rule, rules)
        return f"{self.name}: expected {wanted}{hint}; it is {came}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def run_tests(policy: Policy) -> list[TestOutcome]:
    """Return what comes of each test of a policy, in their order.

    What a test does not say is taken for nothing: no confidence is known, no untrusted text was
    read, nothing happened in the spans of the past. Actor and time are not known.
    """
    return [_run(policy, number, test) for number, test in enumerate(policy.document.tests, 1)]


def _run(policy: Policy, number: int, test: PolicyTest) -> TestOutcome:
    past = nothing_happened(policy, test.tool)
    problem: str | None = None
    now: datetime | None = None
    if test.now is not None:
        try:
            now = moment(test.now)
        except ValueError as error:
            problem = f"`now` {error}"
    for name, given in test.history.items():
        if name not in past:
            hint = suggest(name, past) or "; name it under `history` of the tool"
            problem = f"{show(test.tool)} has no span of the past named {show(name)}{hint}"
        past[name] = Past(given.count, Decimal(repr(given.sum)))
    facts = Facts(
        confidence=test.confidence,
        category=test.category,
        actor=test.actor,
        now=now,
        untrusted=test.untrusted,
        history=past,
    )
    place = position(policy, "tests", number - 1)
    return TestOutcome(
        test, number, policy.file, *place, judge(policy, test.tool, test.args, facts), problem
    )


def position(policy: Policy, *path: str | int) -> tuple[int, int]:
    """Return the 1-based line and column of the value at `path` of a policy's file."""
    source = policy._source  # noqa: SLF001  a policy that no file was read for has none
    return source.position(*path) if source else (1, 1)


def nothing_happened(policy: Policy, tool: str) -> dict[str, Past]:
    """Return an empty past for every span that the tool's conditions see."""
    try:
        return {name: Past() for name in policy.plan(tool).spans}
    except ValueError:  # the verdict says so
        return {}


def moment(text: str) -> datetime:
    """Return a moment written in ISO 8601 with its zone.

    Raises:
        ValueError: it is none; the message goes on after its name.
    """
    example = "write it like `2026-03-01T09:30:00+00:00`"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {show(text)}, no time; {example}") from None
    if found.tzinfo is None:
        raise ValueError(f"is {show(text)}, without a zone; {example}")
    return found
