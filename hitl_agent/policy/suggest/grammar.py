"""The words of a description, its sentences, and the verbs in them."""

from __future__ import annotations

import re
from typing import NamedTuple

from hitl_agent.policy.suggest.words import (
    ACTIONS,
    INFORMATION,
    PARTICLES,
    SEVERITY,
    VERBS,
    Class,
    Form,
    word_set,
)

MAX_DESCRIPTION = 20_000
"""Longest description that is judged, in characters; a longer one is not believed to only read."""

_MAX_SENTENCES = 200
_MAX_WORDS = 400

# a heading of a docstring's section: below it, the arguments are described
_SECTION = re.compile(
    r"\n[ \t]*(?:#{1,6} *)?\**(?:args|arguments|parameters|params|inputs?|returns?|raises|yields"
    r"|examples?)\**[ \t]*:\**[ \t]*(?:\n|$)|\n[ \t]*[:@](?:param|return)",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"<[^<>\n]{1,60}>|\[[A-Z][A-Z _-]{1,20}\]|[`*_#\"“”]{1,3}(?=\w)|(?<=\w)[`*\"“”]{1,3}"
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[^a-z\s])|\n\s*\n|\n\s*(?=[-*•#A-Z0-9])|\n+")
_TOKEN = re.compile(r"[A-Za-z][\w']*(?:-[A-Za-z]+)*|[,;:()/|&\u2013\u2014]| - ")

# what is not seen, or looks like another letter: `delete` with a Cyrillic `e` is no word here
_DISGUISED = re.compile(
    r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
    r"|[A-Za-z][\u0370-\u052f]|[\u0370-\u052f][A-Za-z]"
)

STOPS = word_set("( ) , : ; | \u2013 \u2014") | {" - "}
"""Signs between clauses; a hyphen with spaces around it is a dash."""

SUBORDINATE = word_set(
    """
    after as because before for from how if instead like once rather since so than that to
    unless until what when whenever where whether which while who whom whose why
    """
)
NEGATIONS = word_set(
    """
    aren't can't cannot doesn't don't isn't neither never no nor not nothing without won't
    """
)
DETERMINERS = word_set(
    """
    a all an any each every her his it its new the their them these this those your
    """
)
MODIFIERS = word_set(
    """
    additionally also auto batch both bulk can either finally first hard just mass may next
    now optionally please quick re safely simply soft then will
    """
)
# verbs that say nothing without their object: `performs a search`, `makes a payment`
_LIGHT = word_set(
    """
    capture collect conduct exec execute generate give initiate invoke issue make output
    perform place present print provide report request run start submit take trigger
    """
)
_GIVING = word_set("collect give output present print provide report")
# verbs that read, except with these objects: `shows a notification`, `checks a box`
_SHOWING = word_set("check display show tell")
_SHOWN = word_set("alert box checkbox dialog message notification popup toast")
# query languages in which nothing can be changed
_READ_ONLY_LANGUAGES = word_set("jql kql logql lucene promql traceql wiql")
# what a sentence says of the manner in which a tool works, not of what it does
MANNER = word_set(
    """
    accept adjust allow apply ask combine complement complete enable exclude expand extend
    follow format generate group handle highlight ignore improve include keep limit load make
    match merge operate order present prioritize process produce provide respond run serve
    share skip split start stop strip suggest take work
    """
)
_SCREEN = word_set(
    """
    accessibility browser desktop dom page screen tab ui viewport window
    """
)
OBJECT_ENDS = word_set("against based by for from in of on that to using which with")


class Verb(NamedTuple):
    """A verb in a sentence.

    Attributes:
        verb: its base form.
        kind: what a tool does that says so.
        form: which form of the verb it is.
        word: as it stands in the sentence.
    """

    verb: str
    kind: Class
    form: Form
    word: str


class Sentences(NamedTuple):
    """The sentences of a description as their words, and whether that is all of it."""

    every: list[list[str]]
    whole: bool


def read_sentences(text: str) -> Sentences:
    """Return the sentences of a description that have words, up to where arguments are listed."""
    whole = len(text) <= MAX_DESCRIPTION and not _DISGUISED.search(text[:MAX_DESCRIPTION])
    text = "\n" + text[:MAX_DESCRIPTION].strip()
    if section := _SECTION.search(text, 1):
        text = text[: section.start()]
    text = _MARKUP.sub(" ", text)
    every: list[list[str]] = []
    for sentence in _SENTENCE.split(text):
        words = [_plain(part) for part in _TOKEN.findall(sentence)]
        if any(part.isalpha() for part in words):
            every.append(words[:_MAX_WORDS])
            whole = whole and len(words) <= _MAX_WORDS
    return Sentences(every[:_MAX_SENTENCES], whole and len(every) <= _MAX_SENTENCES)


def _plain(part: str) -> str:
    """Return a word in lower case; of `force-push` only the verb, of `read-only` nothing."""
    part = part.lower()
    if "-" in part and part != " - ":
        first, *_, last = part.split("-")
        return last if first in MODIFIERS | {"force", "un", "pre"} else "…"
    return part if "_" not in part else "…"


def skip(words: list[str], at: int) -> int:
    """Return the next place from `at` that is no adverb and no sign."""
    while at < len(words) and (
        words[at] in MODIFIERS or words[at] in STOPS or is_adverb(words[at])
    ):
        at += 1
    return at


def is_adverb(part: str) -> bool:
    """Return whether a word is an adverb, by its ending."""
    return part.endswith("ly") and part not in VERBS


def word_before(words: list[str], here: int) -> str:
    """Return the word before, without adverbs."""
    here -= 1
    while here > 0 and (
        words[here] in MODIFIERS - {"will", "can", "may"} or is_adverb(words[here])
    ):
        here -= 1
    return words[here]


def verb_at(words: list[str], at: int) -> Verb | None:
    """Return the verb at a place, if there is one."""
    if at >= len(words) or words[at] not in VERBS:
        return None
    word = words[at]
    verb, kind, form = VERBS[word]
    follows = words[at + 1] if at + 1 < len(words) else ""
    if particle := PARTICLES.get((verb, follows)):
        return Verb(verb, particle, form, f"{word} {follows}")
    if verb in _LIGHT or verb in _SHOWING:
        kind = _by_object(verb, kind, words, at + 1)
    return Verb(verb, kind, form, word)


def _by_object(verb: str, kind: Class, words: list[str], at: int) -> Class:
    """Return what is done when it is the object that says so: `performs a search`."""
    phrase: list[str] = []
    for part in words[at : at + 7]:
        if part in OBJECT_ENDS or (part in STOPS and part != ","):
            break
        phrase.append(part)
    if verb in _SHOWING:
        return "write" if _SHOWN.intersection(phrase) else kind
    if _READ_ONLY_LANGUAGES.intersection(phrase):
        return "read"
    actions = [ACTIONS[part] for part in phrase if part in ACTIONS]
    if "snapshot" in phrase and _SCREEN.intersection(words[at : at + 12]):
        return "read"  # of a volume it would be a copy that is kept
    if actions:
        gravest = max(actions, key=SEVERITY.__getitem__)
        return kind if gravest == "read" and kind == "write" else gravest
    if verb in _GIVING and INFORMATION.intersection(phrase):
        return "read"
    return "opaque" if verb in {"execute", "exec"} else kind
