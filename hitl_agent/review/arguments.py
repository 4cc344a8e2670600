"""Whether arguments fit a tool's JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hitl_agent.calls import clean_text
from hitl_agent.errors import InvalidCall

_MAX_QUOTED = 300


def check_arguments(args: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise `InvalidCall` unless the arguments fit the schema.

    An argument the schema does not name is refused unless the schema says that more are welcome,
    and so is a key inside an argument: pydantic would drop it without a word, and the reviewer
    would have approved something else.

    Nothing is fetched for a schema, the work for one is bounded, and one that cannot be used is
    the call's fault too: nobody can say what its arguments mean.

    Args:
        args: the arguments.
        schema: JSON schema of an object; an empty one accepts everything.
    """
    # a tenth of a second that `hitl list` need not wait for
    from hitl_agent.review.schemas import Schema, first_unknown  # noqa: PLC0415

    try:
        checked = Schema(schema)
        problem = first_unknown(args, checked) or checked.problem(args)
    except RecursionError as error:
        raise InvalidCall("the schema of the arguments leads back to itself") from error
    except Exception as error:  # a schema comes from wherever the tool does
        why = _quoted(f"{type(error).__name__}: {error}")
        raise InvalidCall(f"the schema of the arguments cannot be used: {why}") from error
    if problem:
        raise InvalidCall(_quoted(problem))


def _quoted(text: str) -> str:
    text = clean_text(text)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"
