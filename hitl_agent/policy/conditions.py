"""Conditions of a policy: Google's Common Expression Language, checked when the policy is loaded.

CEL always ends, has a budget of steps and no side effects. Six of its habits are unsafe here and
are taken care of: an evaluation that fails returns a value that is true in Python; a part that is
not typed can turn out to be anything; NaN compares as false, and `double` reads it from text; text
ends at a NUL character; an integer can be beyond its range; a value that nests thousands of levels
deep brings the process down. So a condition has to be boolean by its type, its value has to be
`True` or `False` itself, NaN has no way to come about, and `plain` refuses the rest before CEL
sees it.

The language: https://github.com/google/cel-spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from hitl_agent.documents import show
from hitl_agent.policy.amounts import comparable
from hitl_agent.policy.expression_errors import explain, plainly, type_name
from hitl_agent.policy.expression_text import (
    SAFE_DOUBLE,
    ExpressionError,
    constant_parts,
    is_closed,
    is_simple,
    refusal,
    refuse_nan,
    tokens,
    with_safe_double,
)
from hitl_agent.policy.facts import KINDS
from hitl_agent.policy.plain import EvaluationError, plain

__all__ = [
    "Conditions",
    "Environment",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "environment",
    "plain",
]

_AT_ONCE = 24
"""Conditions in one evaluation: where one of them has no answer, all are asked again."""

_KEPT = 10_000
"""Groups of conditions that are kept compiled: those of the policy in force, and of some before."""

_TYPE = cel.Type
_DYN = _TYPE.DYN
_BOOLS = _TYPE.List(_TYPE.BOOL)
_NAMED = {
    "args": _TYPE.Map(_TYPE.STRING, _DYN),
    "tool": _TYPE.STRING,
    "effect": _TYPE.STRING,
    "open_world": _TYPE.BOOL,
    "action_type": _TYPE.STRING,
    # untyped, so that `amount > 50` and `amount > 50.5` are both right
    "confidence": _DYN,
    "amount": _DYN,
    "currency": _TYPE.STRING,
    "category": _TYPE.STRING,
    "counterparty": _TYPE.STRING,
    "actor": _TYPE.STRING,
    "thread": _TYPE.STRING,
    "now": _TYPE.TIMESTAMP,
    "context.untrusted": _TYPE.BOOL,
    "context.sources": _TYPE.List(_TYPE.STRING),
}
_FACT_TYPES = {
    "bool": _TYPE.BOOL,
    "string": _TYPE.STRING,
    "int": _TYPE.INT,
    "list<string>": _TYPE.List(_TYPE.STRING),
}


def _float(value: str | float) -> float:
    """Convert as CEL's `double` does, but neither to NaN nor what a float does not hold exactly."""
    if isinstance(value, float):
        return value
    sign, size = (-1, value[1:]) if str(value)[:1] == "-" and isinstance(value, str) else (1, value)
    return sign * comparable(size)


_FUNCTIONS = [
    cel.FunctionDecl(
        SAFE_DOUBLE,
        [
            cel.Overload(
                f"{SAFE_DOUBLE}_{type_.name()}",
                return_type=_TYPE.DOUBLE,
                parameters=[type_],
                is_member=False,
                impl=_float,
            )
            for type_ in (_TYPE.STRING, _TYPE.INT, _TYPE.UINT, _TYPE.DOUBLE)
        ],
    )
]


_SPACED_DOT = re.compile(r"\s+\.\s*|\.\s+")


class Expression:
    """An expression; compiled when it is first asked for.

    Attributes:
        text: as it was written.
        names: the variables it may read; a superset.
    """

    __slots__ = ("_environment", "_program", "names", "text")

    def __init__(self, text: str, environment: Environment) -> None:
        self.text = text
        written = _SPACED_DOT.sub(".", text)
        self.names = environment.shared(one for one in environment.names if one in written)
        self._environment = environment
        self._program: Any = None

    def compiled(self) -> Any:
        """Return CEL's program.

        Raises:
            ExpressionError: it is no CEL, or names something unknown.
        """
        if self._program is None:
            self._program = self._environment.program(self.text)
        return self._program

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the condition holds; values have to be `plain`.

        Raises:
            EvaluationError: it has no answer.
        """
        value = self.value(values)
        if value is True or value is False:
            return value
        raise EvaluationError("it is neither true nor false")

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value: a number, text, a boolean or None.

        Raises:
            EvaluationError: there is none.
        """
        try:
            found = self.compiled().eval(data=values)
            value = found.plain_value()
        except (RuntimeError, ValueError) as error:
            raise EvaluationError(plainly(str(error))) from None
        # what went wrong is text, too
        if type(value) is str and found.type() == _TYPE.ERROR:
            raise EvaluationError(plainly(value))
        return value


class Group:
    """Conditions that are asked together.

    Attributes:
        conditions: each of them.
        together: all of them as one program, None if they cannot be.
    """

    __slots__ = ("conditions", "together")

    def __init__(self, conditions: Sequence[Expression], together: Any) -> None:
        self.conditions = conditions
        self.together = together

    def answers(self, values: Mapping[str, Any]) -> list[bool | EvaluationError]:
        """Return for each condition whether it holds, or why it has no answer."""
        if self.together is not None:
            try:
                answers = self.together.eval(data=values).plain_value()
            except (RuntimeError, ValueError):
                answers = None
            if type(answers) is list and len(answers) == len(self.conditions):
                return answers
        return [_answer(one, values) for one in self.conditions]


class Conditions:
    """Conditions over the same values, many asked in one evaluation where all have answers.

    Most of the time of an evaluation is the way to CEL and back. So a group of conditions is also
    a list in CEL, and its answers come together; where one has no answer none has, and they are
    asked one by one.
    """

    __slots__ = ("groups",)

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(groups)

    def answers(self, values: Mapping[str, Any]) -> list[bool | EvaluationError]:
        """Return for each condition whether it holds, or why it has no answer."""
        if len(self.groups) == 1:
            return self.groups[0].answers(values)
        return [answer for group in self.groups for answer in group.answers(values)]


def _answer(condition: Expression, values: Mapping[str, Any]) -> bool | EvaluationError:
    try:
        return condition.holds(values)
    except EvaluationError as error:
        return error


class Environment:
    """What expressions can name.

    Args:
        kinds: kind by argument of which facts are worked out.
        windows: names of the spans of the past.
        arguments_only: whether nothing but the arguments can be named.
    """

    def __init__(
        self, kinds: Mapping[str, str], windows: frozenset[str], *, arguments_only: bool = False
    ) -> None:
        variables = {"args": _NAMED["args"]} if arguments_only else dict(_NAMED)
        for argument, kind in kinds.items():
            for field, told in KINDS[kind].items():
                variables[f"{kind}.{argument}.{field}"] = _FACT_TYPES[told]
        for window in windows:
            variables[f"history.{window}.count"] = _TYPE.INT
            variables[f"history.{window}.sum"] = _DYN
        self.names = frozenset(variables)
        self._env = cel.NewEnv(variables=variables, functions=_FUNCTIONS)
        self._groups: dict[tuple[str, ...], tuple[Group, ...]] = {}
        self._shared: dict[frozenset[str], frozenset[str]] = {}

    def condition(self, text: str) -> Expression:
        """Return a condition.

        Raises:
            ExpressionError: it is no CEL, names something unknown, is not boolean, or has a part
                that never has an answer.
        """
        expression = self.expression(text)
        kind = expression.compiled().return_type()
        if kind == _DYN:
            raise ExpressionError(
                "it can be something else than true or false; compare it, as in `== true`"
            )
        if kind != _TYPE.BOOL:
            told = type_name(kind.name().lower())
            raise ExpressionError(f"it is {told}, neither true nor false; compare it with a value")
        self._check_parts(text)
        return expression

    def refused(self, texts: Sequence[str]) -> tuple[int, ExpressionError] | None:
        """Return the first of several conditions that is refused, and why."""
        compiled = all(group.together is not None for group in self.groups(texts))
        for index, text in enumerate(texts):
            try:
                # what was compiled together need not be compiled alone
                self._check_parts(text) if compiled else self.condition(text)
            except ExpressionError as error:
                return index, error
        return None

    def _check_parts(self, text: str) -> None:
        if is_simple(text):
            return
        words = tokens(text)
        refuse_nan(text, words)
        for part, literal in constant_parts(words):
            try:
                Expression(part, self).value({})
            except (EvaluationError, ExpressionError) as error:
                message = f"{show(literal.text)} never has an answer: {error}"
                raise refusal(message, text, literal.start) from None

    def expression(self, text: str) -> Expression:
        """Return an expression of any type.

        Raises:
            ExpressionError: it is no CEL, or names something unknown.
        """
        expression = Expression(text, self)
        expression.compiled()
        return expression

    def shared(self, names: Iterable[str]) -> frozenset[str]:
        """Return a set of names; most conditions name the same."""
        found = frozenset(names)
        return self._shared.setdefault(found, found)

    def groups(self, texts: Sequence[str]) -> tuple[Group, ...]:
        """Return conditions in groups that are asked together; not checked one by one."""
        key = tuple(texts)
        found = self._groups.get(key)
        if found is None:
            starts = range(0, len(key), _AT_ONCE)
            found = tuple(self._group(key[start : start + _AT_ONCE]) for start in starts)
            if len(self._groups) >= _KEPT:
                self._groups.clear()
            self._groups[key] = found
        return found

    def _group(self, texts: Sequence[str]) -> Group:
        together = None
        if all(is_simple(text) or is_closed(tokens(text)) for text in texts):
            try:
                together = self.program("[" + ",".join(f"({text}\n)" for text in texts) + "]")
            except ExpressionError:  # too much for one, or one of them is wrong
                pass
            else:
                if together.return_type() != _BOOLS:
                    together = None
        return Group([Expression(text, self) for text in texts], together)

    def program(self, text: str) -> Any:
        """Return CEL's program for an expression.

        Raises:
            ExpressionError: it is no CEL, or names something unknown.
        """
        written = with_safe_double(text, tokens(text)) if "double" in text else text
        try:
            return self._env.compile(written)
        except RuntimeError as error:
            raise explain(str(error), text, self.names) from None


@lru_cache(maxsize=4096)
def environment(
    kinds: tuple[tuple[str, str], ...] = (),
    windows: frozenset[str] = frozenset(),
    *,
    arguments_only: bool = False,
) -> Environment:
    """Return the environment for these kinds and windows; tools that say the same share it."""
    return Environment(dict(kinds), windows, arguments_only=arguments_only)
