"""What a tool's name says it does."""

from __future__ import annotations

import re
from typing import NamedTuple

from hitl_agent.policy.suggest.words import (
    INFORMATION,
    NOUNS,
    PARTICLES,
    SEVERITY,
    TOLD,
    VERBS,
    Kind,
)

_MAX_NAME = 128

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PREFIXES = frozenset({"api", "mcp", "tool", "tools", "server", "v"})
# a question in a name is answered, whatever it asks about
_QUESTIONS = frozenset({"is", "has", "are", "can", "does", "whoami"})
_TOGETHER = frozenset({"and", "or", "then"})
# goods are returned as well as values: in a name the word does not say which
_CHANGING_IN_NAMES: dict[str, Kind] = {"return": "write"}


_READS = frozenset({"read", "compute"})


class Reading(NamedTuple):
    """What a text says a tool does.

    Attributes:
        kind: the class of the gravest verb in it; `nouns` if it names a thing and no verb;
            `none` if it says nothing.
        why: the words that say so, for a person.
        verbs: the verbs in it, in their base form.
        opaque: those of them that say nothing.
        firm: whether the text cannot be read otherwise.
    """

    kind: Kind
    why: str
    verbs: tuple[str, ...] = ()
    firm: bool = True
    opaque: tuple[str, ...] = ()


class _Word(NamedTuple):
    """A verb in a name: where, its base form, and what a tool does that is named so."""

    at: int
    verb: str
    kind: Kind


def words_of(name: str) -> list[str]:
    """Return the words of a name in snake, camel, kebab or dotted case, in lower case."""
    return [word.lower() for word in _WORD.findall(name[:_MAX_NAME])]


def read_name(name: str) -> Reading:
    """Return what a name says: by the verb in it, wherever that stands.

    A word that is a verb and nothing else decides. One that is a noun as well is the verb only
    at the start, as in `post_message`, and says nothing at the end, as in `git_commit`.
    """
    words = words_of(name)
    while len(words) > 1 and words[0] in _PREFIXES:
        words = words[1:]
    if not words or len(name) > _MAX_NAME:
        return Reading("none", "the name has no words, or too many", firm=False)
    if words[0] in _QUESTIONS:
        return Reading("read", f"the name asks a question: `{words[0]}`", (words[0],))
    found = (_word(words, at) for at in range(len(words)))
    verbs = [one for one in found if one is not None]
    firm = [one for one in verbs if words[one.at] not in NOUNS]
    if firm:
        # in `get_and_update` the noun cannot be meant
        joined = [one for one in verbs if one.at > 1 and words[one.at - 1] in _TOGETHER]
        counted = list(dict.fromkeys(_without_objects(firm) + joined))
        return _gravest(counted, firm=True)
    return _read_nouns(words, verbs)


def _word(words: list[str], at: int) -> _Word | None:
    """Return the verb at a place, if there is one; names have verbs in their base form."""
    word = words[at]
    particle = PARTICLES.get((word, words[at + 1])) if at + 1 < len(words) else None
    if particle:
        return _Word(at, word, particle)
    if word not in VERBS or VERBS[word][2] != "base":
        return None
    verb, kind, _ = VERBS[word]
    return _Word(at, verb, _CHANGING_IN_NAMES.get(word, kind) if at == 0 else kind)


def _without_objects(verbs: list[_Word]) -> list[_Word]:
    """Leave out reading verbs after a changing one: `create_find` is no search."""
    least = SEVERITY[verbs[0].kind]
    return [one for one in verbs if SEVERITY[one.kind] >= least]


def _gravest(verbs: list[_Word], *, firm: bool) -> Reading:
    gravest = max(verbs, key=lambda one: SEVERITY[one.kind])
    why = f"the name has the verb `{gravest.verb}` ({TOLD[gravest.kind]})"
    opaque = tuple(one.verb for one in verbs if one.kind == "opaque")
    return Reading(gravest.kind, why, tuple(one.verb for one in verbs), firm, opaque)


def _read_nouns(words: list[str], verbs: list[_Word]) -> Reading:
    """Judge a name of which every verb is a noun as well."""
    end = words[-1]
    if not verbs:
        kind: Kind = "nouns" if end in INFORMATION else "none"
        return Reading(kind, f"the name has no verb, and ends in `{end}`")
    first, last = verbs[0], verbs[-1]
    reads_last = last.kind in _READS and last.at == len(words) - 1
    if first.kind in _READS and (first.at == 0 or last.kind in _READS):
        return _gravest([first], firm=first.at == 0)
    if first.at == 0 and len(words) > 1 and end not in INFORMATION and not reads_last:
        return _gravest([first], firm=False)
    if first.at > 0 and reads_last:
        return _gravest([last], firm=False)
    return Reading("nouns", f"`{first.verb}` in the name is a noun as well")
