"""The verbs that are joined to the main verb of a sentence: `reads a file and deletes it`."""

from __future__ import annotations

from hitl_agent.policy.suggest.grammar import (
    DETERMINERS,
    MANNER,
    MODIFIERS,
    NEGATIONS,
    STOPS,
    SUBORDINATE,
    Verb,
    is_adverb,
    verb_at,
    word_before,
)
from hitl_agent.policy.suggest.words import NOUNS, SEVERITY, Form, word_set

_CONJUNCTIONS = frozenset({"and", "or", "then", "plus", "&", "/"})
_MANNER_JOINED = word_set(
    """
    combine exclude format handle highlight ignore include limit skip split strip
    """
)


def joined_verbs(words: list[str], at: int, form: Form) -> list[Verb]:
    """Return the verbs that are joined to the main verb at `at`, which has this form."""
    walk = _Walk(words, at, form)
    walk.take()
    return walk.found


class _Walk:
    """One walk from the main verb to the end of its sentence."""

    def __init__(self, words: list[str], at: int, form: Form) -> None:
        self.words = words
        self.form = form  # of the main verb
        self.found: list[Verb] = []
        self.at = at
        self.subordinate = False  # within a phrase that hangs on another
        self.denied = False  # after `not`
        self.which = False  # the word before was the `which` that stands for the whole clause
        self.joins = False  # the word before was `and`, or a comma
        self.last_verb = at  # the verb read last, of whatever clause
        self.last_main = at
        self.before_join = at  # the word before the `and`

    def take(self) -> None:
        for here in range(self.at + 1, len(self.words)):
            part = self.words[here]
            if part in STOPS or part in _CONJUNCTIONS:
                self._join(here, part)
            elif part in NEGATIONS:
                self.denied, self.joins = True, False
            elif part == "but":
                self.denied, self.joins, self.before_join = False, True, -1
            elif part in SUBORDINATE:
                self._turn(here, part)
            elif part not in MODIFIERS and not is_adverb(part):
                self._word(here)

    def _turn(self, here: int, part: str) -> None:
        """Enter a subordinate phrase, unless it is none."""
        if part == "which" and self.words[here - 1] == ",":
            self.which = True  # `views a message, which deletes it`
        elif part != "to" or not self.joins:  # `to list and to delete`
            self.subordinate, self.joins = True, False

    def _join(self, here: int, part: str) -> None:
        if not self.joins:
            self.before_join = here - 1
        if part in STOPS:
            self.subordinate = False
            if part != ",":
                self.denied = False
        self.joins = True

    def _word(self, here: int) -> None:
        verb = verb_at(self.words, here)
        joins, self.joins = self.joins, False
        which, self.which = self.which, False
        if verb is None:
            return
        if verb.verb in (MANNER if which else _MANNER_JOINED):
            joins = False
        by = self.words[here - 1] == "by" or word_before(self.words, here) == "by"
        if (joins and self._main(verb, here)) or (by and verb.form == "gerund" and not self.denied):
            self.found.append(verb)
            self.last_main = here
        self.last_verb = here

    def _main(self, verb: Verb, here: int) -> bool:
        """Return whether a verb after `and` or a comma is joined to the main verb."""
        follows = self.words[here + 1] if here + 1 < len(self.words) else ""
        if verb.form == "gerund" and self.form != "gerund":
            # `looks at them, fixing what is wrong`
            grave = SEVERITY[verb.kind] > SEVERITY["opaque"] and verb.verb not in MANNER
            return grave and not self.denied and follows in DETERMINERS | {"what"}
        if verb.form == "participle" or verb.form not in {"third", self.form}:
            return False
        if self.subordinate and self.before_join == self.last_verb:
            return False  # `tools that create or update`
        sure = verb.word not in NOUNS
        if self.denied:
            return sure and verb.form == "third"
        return sure or self.before_join == self.last_main or follows in DETERMINERS
