"""What a grant is bound to."""

from __future__ import annotations

from hitl_agent.calls import ToolCall, digest


def binding(
    call: ToolCall,
    *,
    thread_id: str,
    tool_version: str,
    policy_digest: str,
    requester: str | None,
) -> str:
    """Return the digest that a grant for a call carries.

    It is SHA-256 over the RFC 8785 form of everything that was judged: another argument, another
    version of the tool, another policy, another thread or another requester is another call.

    Args:
        call: what would run.
        thread_id: LangGraph's thread.
        tool_version: of the tool, see `Contract.version`.
        policy_digest: of the policy that judged it.
        requester: who asked for it; None when nobody says.

    Raises:
        InvalidCall: there is no canonical form.
    """
    return digest(
        {
            "args": call.args,
            "call_id": call.call_id,
            "policy_digest": policy_digest,
            "requester": requester,
            "thread_id": thread_id,
            "tool": call.tool,
            "tool_version": tool_version,
            "v": 1,
        }
    )


def idempotency_key_of(thread_id: str, call: ToolCall) -> str:
    """Return the key under which a call may be sent again: 32 hex digits.

    The same for every try of the same call with the same arguments, in every process; another one
    for edited arguments.

    Raises:
        InvalidCall: there is no canonical form.
    """
    return digest(
        {"args": call.args, "call_id": call.call_id, "thread_id": thread_id, "tool": call.tool}
    ).removeprefix("sha256:")[:32]
