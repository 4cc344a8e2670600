"""What the planner is told of a call, for each thing that can become of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitl_agent.calls import ToolCall
from hitl_agent.execution import Answered, Finished, Judged, Refused
from hitl_agent.graph.answers import answer
from hitl_agent.policy import Effect, Reviewers, RuleHit, Tier, Verdict

CALL = ToolCall("c1", "refund", {"to": "Zoë", "amount": 7})
ROW = Judged(
    call=CALL,
    revision=1,
    call_digest=CALL.digest,
    planned_digest=CALL.digest,
    verdict=Verdict(
        tier=Tier.BLOCK,
        effect=Effect.WRITE,
        rules=(RuleHit("a", Tier.BLOCK, "never"), RuleHit("b", Tier.HARD_GATE, "too much")),
        errors=(),
        reviewers=Reviewers(),
        sla_seconds=None,
        grant_ttl_seconds=1,
        allowed_decisions=(),
        policy_digest="sha256:00",
    ),
)


def row(**changed: Any) -> Judged:
    return replace(ROW, **changed)


def finished(content: Any, status: str = "success", **changed: Any) -> Finished:
    return Finished(row(result={"status": status, "content": content}, **changed))


CASES = {
    "blocked": (
        Refused(ROW, "blocked"),
        "refused by policy, the call was not run: never; too much",
        ("error", "blocked", None),
    ),
    "rejected": (
        Refused(row(decision="reject", reviewer="ana", message="not him"), "rejected"),
        "rejected by ana, the call was not run: not him",
        ("error", "rejected", None),
    ),
    "rejected by a bare resume value, without a reason": (
        Refused(row(decision="reject"), "rejected"),
        "rejected by a reviewer, the call was not run",
        ("error", "rejected", None),
    ),
    "an id that was used before": (
        Refused(ROW, "reused"),
        "refused, the call was not run: its id was used for another call",
        ("error", "blocked", None),
    ),
    "answered": (
        Answered(row(decision="respond", reviewer="ana", message="he knows")),
        "answered by ana in the tool's place: he knows",
        ("success", "answered", "he knows"),
    ),
    "succeeded": (finished("paid"), "paid", ("success", "succeeded", "paid")),
    "failed": (
        finished("the tool failed: no", "error"),
        "the tool failed: no",
        ("error", "failed", "the tool failed: no"),
    ),
    "nothing is known of the result": (Finished(ROW), "", ("success", "succeeded", None)),
    "approved": (
        finished("paid", decision="approve", reviewer="ana"),
        "[approved by ana]\npaid",
        ("success", "succeeded", "paid"),
    ),
    "approved with a reason, failed": (
        finished("no", "error", decision="approve", reviewer="ana", message="checked"),
        "[approved by ana: checked]\nno",
        ("error", "failed", "no"),
    ),
    "changed": (
        finished("paid", planned_digest="sha256:other"),
        '[changed by a reviewer before it ran, to refund {"to": "Zoë", "amount": 7}]\npaid',
        ("success", "succeeded", "paid"),
    ),
    "changed and approved": (
        finished("paid", planned_digest="sha256:other", decision="approve", reviewer="bo"),
        (
            '[changed by a reviewer before it ran, to refund {"to": "Zoë", "amount": 7}; '
            "approved by bo]\npaid"
        ),
        ("success", "succeeded", "paid"),
    ),
}


@pytest.mark.parametrize(("settled", "text", "rest"), CASES.values(), ids=CASES)
def test_the_planner_is_told_what_became_of_a_call(
    settled: Any, text: str, rest: tuple[str, str, Any]
) -> None:
    message = answer(settled)
    assert message.content == text
    assert (message.status, message.artifact["outcome"], message.artifact["value"]) == rest
    assert (message.tool_call_id, message.name) == ("c1", "refund")


def test_blocks_of_a_result_stay_blocks_and_the_note_comes_first() -> None:
    blocks = [{"type": "text", "text": "paid"}]
    message = answer(finished(blocks, decision="approve", reviewer="ana"))
    assert message.content == [{"type": "text", "text": "[approved by ana]"}, *blocks]
    assert message.artifact["value"] == blocks
    assert answer(finished(blocks)).content == blocks


def test_what_a_tool_keeps_for_programs_goes_with_the_answer() -> None:
    result = {"status": "success", "content": "paid", "artifact": None}
    assert answer(Finished(row(result=result))).artifact == {
        "outcome": "succeeded",
        "value": "paid",
        "artifact": None,
    }
    assert "artifact" not in answer(finished("paid")).artifact
