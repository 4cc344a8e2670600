"""Loading a large policy and judging by it, beside a small one, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from hitl_agent.policy import Facts, Policy, judge, parse_policy

SMALL, LARGE = (2, 10), (1000, 5000)
"""Tools and rules."""

VERDICTS = 20_000
FACTS = Facts(confidence=0.9, untrusted=())
ARGS = {"amount": 42.5, "customer": "c9", "note": "the parcel arrived broken, on a Tuesday"}


def policy_text(tools: int, rules: int) -> str:
    """A policy of so many tools, the rules shared out among them; the first of each permits."""
    lines = ["tools:"]
    for tool in range(tools):
        lines += [f"  tool_{tool}:", "    effect: write", "    rules:"]
        for rule in range(rules // tools):
            over = "amount >" if rule else "amount <"
            limit = rule * 10_000 + tool + 50  # no two conditions are the same
            lines += [
                f"      - id: rule-{tool}-{rule}",
                f'        when: {over} {limit} && args.customer != "c{rule}"',
                f"        tier: {'hard_gate' if rule else 'auto_approve'}",
                f"        reason: rule {rule} of tool {tool} looks at amount and customer",
            ]
    return "\n".join(lines)


def measure_policy(*, rounds: int, say: Callable[[str], None]) -> None:
    """Print how long loading and judging take, and how judging grows with the policy."""
    medians = []
    for tools, rules in (SMALL, LARGE):
        text = policy_text(tools, rules)
        loads = [_seconds(lambda text=text: parse_policy(text)) for _ in range(rounds)]
        policy = parse_policy(text)
        spent = _verdicts(policy, tools)
        medians.append(statistics.median(spent))
        say(
            f"{tools:>5} tools, {rules:>5} rules, {len(text) / 1000:>5.0f} kB:"
            f" load {statistics.median(loads):.3f} s;"
            f" verdict median {medians[-1] * 1e6:.1f} µs,"
            f" 99 % {statistics.quantiles(spent, n=100)[-1] * 1e6:.1f} µs"
        )
    times = medians[1] / medians[0]
    say(f"a verdict under the large policy takes {times:.2f} times the small one's")


def _verdicts(policy: Policy, tools: int) -> list[float]:
    """Return the seconds of each verdict, over all tools in turn, after a first round."""
    names = [f"tool_{index * 7 % tools}" for index in range(VERDICTS)]
    for name in set(names):
        judge(policy, name, ARGS, FACTS)
    return [_seconds(lambda name=name: judge(policy, name, ARGS, FACTS)) for name in names]


def _seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun
