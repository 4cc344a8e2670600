"""Whether arguments fit a tool's JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hitl_agent.errors import InvalidCall


def check_arguments(args: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise `InvalidCall` unless the arguments fit the schema.

    An argument the schema does not name is refused unless the schema says that more are welcome:
    pydantic would drop it without a word, and the reviewer would have approved something else.

    Args:
        args: the arguments.
        schema: JSON schema of an object; an empty one accepts everything.
    """
    import jsonschema  # noqa: PLC0415  a tenth of a second that `hitl list` need not wait for

    known = schema.get("properties")
    if isinstance(known, Mapping) and not schema.get("additionalProperties"):
        for name in args:
            if name not in known:
                raise InvalidCall(
                    f"no argument is named `{name}`; there are {', '.join(known) or 'none'}"
                )
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(dict(args)))
    if error is not None:
        where = error.json_path.removeprefix("$").lstrip(".")
        raise InvalidCall(f"`{where}`: {error.message}" if where else error.message)
