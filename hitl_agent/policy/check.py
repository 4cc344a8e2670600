"""What pydantic cannot see: wrong conditions, rules that never apply, words without use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hitl_agent.documents import show, suggest
from hitl_agent.errors import DocumentError
from hitl_agent.policy.conditions import EvaluationError, Expression, ExpressionError
from hitl_agent.policy.currencies import CURRENCIES
from hitl_agent.policy.document import PolicyDocument, is_exact, matches, meet
from hitl_agent.policy.entries import Entries, environment_for
from hitl_agent.policy.escalation import AUTO_LIMIT, SECOND_LIMIT, EscalationPolicy
from hitl_agent.policy.plan import listed_as_final, plan, reading
from hitl_agent.policy.scalars import place_within
from hitl_agent.policy.verdict import Effect

if TYPE_CHECKING:
    from hitl_agent.documents import Document
    from hitl_agent.policy.tool_entry import Rule, ToolEntry

READINGS = ("amount", "category", "currency", "counterparty")
"""What a policy reads from a call's arguments."""

_UNUSED = {
    ("audit_log",): "every verdict, decision and execution is on the record in the database",
    ("review_settings", "max_queue_depth"): "the queue has no limit yet",
    ("review_settings", "reviewer_session_limit_minutes"): "sessions have no limit yet",
    ("review_settings", "inter_rater_agreement_threshold"): "agreement is not measured yet",
    ("feedback_pipeline", "batch_size"): "decisions are kept one by one",
    ("feedback_pipeline", "retrain_trigger"): "calibrators are fitted elsewhere",
    ("feedback_pipeline", "min_agreement_for_training"): "no training data is made yet",
    ("feedback_pipeline", "store"): "decisions are kept in PostgreSQL",
    ("feedback_pipeline", "audit_log"): "every decision is on the record in the database",
}
"""Keys that are read and not used, and what happens instead."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is allowed and probably not meant.

    Attributes:
        file: the document's name as the user gave it.
        line: 1-based line.
        column: 1-based column.
        message: what it is and what to write instead.
    """

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: warning: {self.message}"


def check(document: Document[PolicyDocument], text: str) -> list[Remark]:
    """Compile every expression and return what is probably not meant, in the order of the file.

    Raises:
        DocumentError: an expression is wrong, or a rule permits what is irreversible.
    """
    return sorted(_Check(document, text).remarks(), key=lambda one: (one.line, one.column))


def is_code(key: str, told: str) -> bool:
    """Return whether what is told of `key` is a currency, and nothing to be read from a call."""
    return key == "currency" and told.upper() in CURRENCIES


class _Check:
    """One look through a document."""

    def __init__(self, document: Document[PolicyDocument], text: str) -> None:
        self.document = document
        self.value = document.value
        self.lines = text.split("\n")
        self.context_used = False

    def remarks(self) -> Iterator[Remark]:
        """Yield what is probably not meant; raise for what is wrong."""
        for path, instead in _UNUSED.items():
            if self._told(path):
                yield self._remark(f"`{path[-1]}` is not used: {instead}", *path, at_key=True)
        for pattern, entry in self.value.tools.items():
            yield from self._entry(pattern, entry)
        self._refuse_disagreement("history", "span")
        self._refuse_disagreement("kinds", "kind")
        for index, one in enumerate(self.value.escalation_policies):
            yield from self._escalation(index, one)
        if self.context_used:
            yield from self._sources()

    def _told(self, path: tuple[str, ...]) -> bool:
        node: Any = self.document.data
        for part in path:
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return node is not None

    def _remark(self, message: str, *path: str | int, at_key: bool = False) -> Remark:
        place = (self.document.key_position if at_key else self.document.position)(*path)
        return Remark(self.document.file, *place, message)

    def _wrong(
        self, path: tuple[str | int, ...], text: str, what: str, error: ExpressionError
    ) -> DocumentError:
        start = self.document.position(*path)
        line, column = place_within(self.lines, start, text, error.line, error.column)
        message = f"{what} is refused: {error.message}"
        return DocumentError(message, file=self.document.file, line=line, column=column)

    def _entry(self, pattern: str, entry: ToolEntry) -> Iterator[Remark]:
        path = ("tools", pattern)
        if not self.document.data["tools"][pattern]:
            yield self._remark(f"`{pattern}` says nothing; say its `effect`", *path, at_key=True)
        for key in READINGS:
            told: str | None = getattr(entry, key)
            if told is not None and not is_code(key, told):
                try:
                    reading(told)
                except ExpressionError as error:
                    raise self._wrong((*path, key), told, f"`{key}`", error) from None
        if "reject" not in entry.allowed_decisions:
            message = "without `reject` nobody can say no to a call; add it"
            yield self._remark(message, *path, "allowed_decisions")
        types = [one.action_type for one in self.value.escalation_policies]
        if entry.action_type and entry.action_type not in types:
            hint = suggest(entry.action_type, types)
            message = f"no escalation policy names {show(entry.action_type)}{hint}; its calls wait"
            yield self._remark(message, *path, "action_type")
        if entry.rules:
            yield from self._rules(pattern, entry)

    def _rules(self, pattern: str, entry: ToolEntry) -> Iterator[Remark]:
        path = ("tools", pattern, "rules")
        found = Entries(self.value, pattern) if is_exact(pattern) else None
        of_entry = found.found if found else [(pattern, entry)]
        env = environment_for(of_entry, pattern)
        written = [rule.when for rule in entry.rules]
        if refused := env.refused(written):
            index, error = refused
            rule = entry.rules[index]
            what = f"the condition of rule `{rule.id}`"
            raise self._wrong((*path, index, "when"), rule.when, what, error)
        conditions = [one for group in env.groups(written) for one in group.conditions]
        seen: dict[tuple[str, bool], Rule] = {}
        permits = any(rule.permits for rule in entry.rules)
        final = self._final(pattern, found) if permits else None
        for index, rule in enumerate(entry.rules):
            if (other := seen.setdefault((rule.when, rule.permits), rule)) is not rule:
                message = f"rule `{rule.id}` has the condition of rule `{other.id}`; keep one"
                yield self._remark(message, *path, index, "when")
            yield from self._condition((*path, index), rule, conditions[index])
            if rule.permits:
                if final is not None:
                    message = (
                        f"rule `{rule.id}` permits `{final}`, which is irreversible, and a person"
                        " always decides that; name the tools that it is for"
                    )
                    raise self.document.error(message, *path, index, "tier")
                yield from self._permission(pattern, found, (*path, index), rule)

    def _condition(
        self, path: tuple[str | int, ...], rule: Rule, condition: Expression
    ) -> Iterator[Remark]:
        self.context_used |= any(name.startswith("context.") for name in condition.names)
        if condition.names and "true" not in rule.when and "false" not in rule.when:
            return
        try:
            always = condition.holds({})
        except EvaluationError as error:
            if not condition.names:
                message = f"the condition of rule `{rule.id}` never has an answer: {error}"
                raise self.document.error(message, *path, "when") from None
            return
        if not always:
            yield self._remark(f"rule `{rule.id}` never applies", *path, "when")
        elif rule.permits:
            yield self._remark(f"rule `{rule.id}` permits every call", *path, "when")

    def _permission(
        self, pattern: str, found: Entries | None, path: tuple[str | int, ...], rule: Rule
    ) -> Iterator[Remark]:
        """Refuse a permission for a tool of which nothing is known; remark on one without use."""
        for key in ("never_run", "always_gate"):
            for stop in getattr(self.value, key):
                if stop in {pattern, "*"} or (is_exact(pattern) and matches(stop, pattern)):
                    message = f"rule `{rule.id}` never permits: `{stop}` stands in `{key}`"
                    yield self._remark(message, *path, "tier")
        if found is None:
            return
        if found.effect is Effect.UNKNOWN:
            raise self.document.error(
                f"rule `{rule.id}` permits `{pattern}`, and nothing says what it does; add"
                " `effect: write`, or `read`",
                *path,
                "tier",
            )
        reads = found.effect is Effect.READ and not any(found.told("open_world"))
        if reads and rule.tier == "auto_approve":
            message = f"rule `{rule.id}` has no effect: `{pattern}` only reads, and runs anyway"
            yield self._remark(message, *path, "tier")

    def _final(self, pattern: str, found: Entries | None) -> str | None:
        """Return what cannot be undone among the tools that an entry is for."""
        if found is not None:
            types = found.action_types(pattern)
            listed = listed_as_final(self.value, (pattern, *types))
            return pattern if found.effect is Effect.IRREVERSIBLE or listed else None
        for name, other in self.value.tools.items():
            if meet(pattern, name):
                types = (other.action_type,) if other.action_type else ()
                listed = listed_as_final(self.value, (name, *types))
                if other.effect == "irreversible" or listed:
                    return name
        return None

    def _refuse_disagreement(self, key: str, what: str) -> None:
        """Refuse a name that two entries for the same tool give different meanings."""
        told: dict[str, list[tuple[str, Any]]] = {}
        for pattern, entry in self.value.tools.items():
            for name, meaning in getattr(entry, key).items():
                told.setdefault(name, []).append((pattern, meaning))
        for name, meanings in told.items():
            if all(is_exact(pattern) for pattern, _ in meanings):
                continue
            for (one, first), (other, second) in combinations(meanings, 2):
                if first != second and meet(one, other):
                    raise self.document.error(
                        f"{what} `{name}` means something else under `{one}`, and a tool can fit"
                        " both; give one of them another name"
                        if key == "history"
                        else f"`{name}` is of another kind under `{one}`, and a tool can fit both",
                        "tools",
                        other,
                        key,
                        name,
                        at_key=True,
                    )

    def _escalation(self, index: int, one: EscalationPolicy) -> Iterator[Remark]:
        path = ("escalation_policies", index)
        shown = show(one.action_type)
        if one.audit is not None:
            message = "`audit` is not used: every call is on the record, whatever it says"
            yield self._remark(message, *path, "audit", at_key=True)
        types = {entry.action_type or name for name, entry in self.value.tools.items()}
        if types and one.action_type not in types:
            message = f"no tool has the action type {shown}{suggest(one.action_type, types)}"
            yield self._remark(message, *path, "action_type")
        if len({*one.limits(AUTO_LIMIT), *one.limits(SECOND_LIMIT)}) > 1:
            message = f"limits of {shown} are in several currencies: a call that names none waits"
            yield self._remark(message, *path, "action_type")
        yield from self._gate(path, one)
        silent = [
            key
            for key, said in (
                (AUTO_LIMIT, one.limits(AUTO_LIMIT)),
                (SECOND_LIMIT, one.limits(SECOND_LIMIT)),
                ("categories_always_review", one.categories_always_review is not None),
                (_GATE, one.irreversible_actions_always_gate is not None),
            )
            if not said
        ]
        if silent and (one.auto_approve_threshold, one.soft_review_threshold) != (None, None):
            named = ", ".join(f"`{each}`" for each in silent)
            yield self._remark(f"{shown} runs on confidence and says nothing of {named}", *path)

    def _gate(self, path: tuple[str | int, ...], one: EscalationPolicy) -> Iterator[Remark]:
        gate = one.irreversible_actions_always_gate
        told = any(
            entry.effect and (entry.action_type or name) == one.action_type
            for name, entry in self.value.tools.items()
        )
        if gate is False:
            message = f"`{_GATE}: false` has no effect: what is irreversible is always gated"
            yield self._remark(message, *path, _GATE)
        elif gate is True and not told:
            message = (
                f"`{_GATE}` gates tools with `effect: irreversible`, and `tools` does not say"
                f" the effect of {show(one.action_type)}"
            )
            yield self._remark(message, *path, _GATE)

    def _sources(self) -> Iterator[Remark]:
        """Yield tools of which conditions on `context` would have to know more."""
        for pattern, entry in self.value.tools.items():
            found = Entries(self.value, pattern) if is_exact(pattern) else None
            told = found.told("untrusted_output") if found else (entry.untrusted_output,)
            if entry.effect == "read" and told in {(), (None,)}:
                yield self._remark(
                    f"conditions look at `context`, and `{pattern}` does not say whether its"
                    " result may carry other people's text; add `untrusted_output`",
                    "tools",
                    pattern,
                    at_key=True,
                )
        for index, test in enumerate(self.value.tests):
            for tool in test.untrusted:
                if not plan(self.value, tool).untrusted_output:
                    message = f"the test says that {show(tool)} brought text of other people;"
                    message += " say `untrusted_output: true` of it under `tools`"
                    yield self._remark(message, "tests", index, "untrusted")


_GATE = "irreversible_actions_always_gate"
