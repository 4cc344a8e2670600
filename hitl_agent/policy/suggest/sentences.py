"""What a tool's description says it does: the main verbs of its sentences, by English grammar.

No parser of English is needed for this: a description of a tool starts with its main verb ("Gets
the balance", "Delete a file"), or leads to it ("Use this tool to find …"). What follows counts
where it is joined to that verb ("… and deletes it"), and does not count in a subordinate phrase
("… that was deleted", "… before you send it") or where it is denied ("does not change …").
Later sentences speak to the model ("Set `limit` to …") and count where they speak of the tool
("Also deletes …", "It sends …"), or go on about the same thing ("Then delete it").
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hitl_agent.policy.suggest.grammar import (
    DETERMINERS,
    MANNER,
    NEGATIONS,
    OBJECT_ENDS,
    STOPS,
    SUBORDINATE,
    Verb,
    read_sentences,
    skip,
    verb_at,
    word_before,
)
from hitl_agent.policy.suggest.joined import joined_verbs
from hitl_agent.policy.suggest.names import Reading
from hitl_agent.policy.suggest.words import (
    ACTIONS,
    INFORMATION,
    NOUNS,
    SEVERITY,
    TOLD,
    VERBS,
    Form,
    word_set,
)

_LEAD = 25
_LABEL_ENDS = word_set(": | \u2013 \u2014") | {" - "}
_FRONT = word_set(
    """
    after as at based before by during for from given if in on once through under unless upon
    using via when whenever where while with
    """
)
_TOOL = word_set(
    """
    ability action api capability command endpoint function functionality helper integration
    interface means method operation plugin service skill tool tools utility way wrapper
    """
)
_LEADERS = word_set(
    """
    allow allows can designed enable enables help helps intended it let lets meant must offers
    permit permits provide provides should support supports this use used useful will
    """
)
_PEOPLE = word_set(
    """
    agent agents client clients llm me model one us user users you
    """
)
_BEFORE_BASE = _PEOPLE | {"to", "will", "can", "should", "must", "may"}
_BEFORE_THIRD = _TOOL | {"that", "which", "it", "this", "but"}
_BEFORE_GERUND = word_set("allow allows by enables for in of permits support supports")
_BEFORE: dict[Form, frozenset[str]] = {
    "base": _BEFORE_BASE,
    "third": _BEFORE_THIRD,
    "gerund": _BEFORE_GERUND,
    "participle": frozenset(),
}
_AVOID = word_set("after before if instead not rather than unless without")
# what an imperative in a later sentence tells the model to do with its own arguments
_ADDRESSED = word_set(
    """
    apply call combine enter exclude follow handle ignore include keep make order pass put
    repeat replace run select set skip start try
    """
)
# `accepts an address and returns …` says what goes in before it says what is done
_TAKING = frozenset({"accept", "take", "receive"})


@dataclass(slots=True)
class _Found:
    """What was found so far; `nouns` if a sentence names a thing that is given."""

    verbs: list[Verb] = field(default_factory=list)
    nouns: bool = False


def read_description(text: str) -> Reading:
    """Return what a description says, by the gravest of its main verbs."""
    found = _Found()
    sentences = read_sentences(text)
    for number, words in enumerate(sentences.every):
        if number == 0 or not (found.verbs or found.nouns):
            _first(words, found)
        else:
            _later(words, found)
    if not found.verbs:
        if found.nouns:
            return Reading("nouns", "the description names what is given", firm=sentences.whole)
        return Reading("none", "the description has no verb that is known")
    gravest = max(found.verbs, key=lambda one: SEVERITY[one.kind])
    why = f"the description says `{gravest.word}` ({TOLD[gravest.kind]})"
    opaque = tuple(one.verb for one in found.verbs if one.kind == "opaque")
    verbs = tuple(dict.fromkeys(one.verb for one in found.verbs))
    return Reading(gravest.kind, why, verbs, firm=sentences.whole, opaque=opaque)


def first_sentence(text: str) -> list[str]:
    """Return the words of the first sentence that has any, in lower case."""
    return next(iter(read_sentences(text).every), [])


def _first(words: list[str], found: _Found) -> None:
    at = _start(words)
    if at >= len(words):
        return
    led = _led(words, at)
    at = at if led is None else led
    verb = verb_at(words, at)
    named = verb is not None and (verb.form == "participle" or words[at + 1 : at + 2] == ["of"])
    if led is None and named:
        verb = None
    if verb is None:
        _noun_phrase(words, at, found)
        _passives(words, at, found)
        return
    found.verbs.append(verb)
    found.verbs += joined_verbs(words, at, verb.form)
    if verb.form == "third" and verb.verb in _TAKING and len(found.verbs) > 1:
        found.verbs.remove(verb)


def _later(words: list[str], found: _Found) -> None:
    at = _start(words)
    if at >= len(words):
        return
    here: int | None = at
    if words[at] in {"it", "this"} or words[at] in _TOOL:
        here = _led(words, at)
    elif words[at] == "use":
        here = _led(words, at) if "to" in words[at : at + 4] else None
    elif not _continues(words, at):
        here = None
    verb = verb_at(words, here) if here is not None else None
    if verb is not None and here is not None:
        if verb.verb not in MANNER:
            found.verbs.append(verb)
        found.verbs += joined_verbs(words, here, verb.form)
    _passives(words, at, found)


def _continues(words: list[str], at: int) -> bool:
    """Return whether a sentence goes on about what the tool does: `Deletes …`, `Delete it`."""
    verb = verb_at(words, at)
    follows = words[at + 1] if at + 1 < len(words) else ""
    if verb is None:
        return False
    if verb.form == "third":
        return verb.word not in NOUNS or follows in DETERMINERS
    return verb.form == "base" and follows in {"it", "them"} and verb.verb not in _ADDRESSED


def _start(words: list[str]) -> int:
    """Return where the main clause starts: after a label, a clause in front, and adverbs."""
    at = skip(words, 0)
    for end in range(at, min(at + 5, len(words))):
        if words[end] in _LABEL_ENDS and end + 1 < len(words):
            if at < len(words) and verb_at(words, at) is None:
                at = skip(words, end + 1)
            break
    if at < len(words) and words[at] in _FRONT:
        comma = next((n for n in range(at, len(words)) if words[n] == ","), None)
        if comma is not None:
            at = skip(words, comma + 1)
        elif words[at] in {"for", "by"} or words[at : at + 3] == ["in", "order", "to"]:
            at = skip(words, at + (3 if words[at] == "in" else 1))
    if at < len(words) and words[at] == "to":
        at = skip(words, at + 1)
    return at


def _led(words: list[str], at: int) -> int | None:
    """Return where the verb is that `this tool can be used to …` leads to."""
    head = words[at : at + 6]
    ahead = next((n for n, part in enumerate(head) if part in OBJECT_ENDS | STOPS), len(head))
    leads = head[0] in _LEADERS or (
        verb_at(words, at) is None and any(part in _TOOL for part in head[:ahead])
    )
    if not leads or (head[0] in {"allow", "allows", "enable", "enables"} and not _leads_on(head)):
        return None
    avoiding = False
    for here in range(at + 1, min(at + _LEAD, len(words))):
        part, before = words[here], word_before(words, here)
        if part in _AVOID:
            avoiding = True
        elif part in STOPS or part == "but":
            avoiding = False
        if part in _LEADERS and _leads_on(words[here : here + 6]):
            continue
        verb = verb_at(words, here)
        if verb is None or not _fits(verb.form, before):
            continue
        if not avoiding:
            return here
        avoiding = False
    return None


def _leads_on(head: list[str]) -> bool:
    """Return whether `enables …` leads to a verb, and is not the verb itself."""
    return "to" in head or any(t in _PEOPLE for t in head[1:3]) or _form(head[1:2]) == "gerund"


def _form(words: list[str]) -> Form | None:
    return VERBS[words[0]][2] if words and words[0] in VERBS else None


def _fits(form: Form, before: str) -> bool:
    return before in _BEFORE[form]


def _noun_phrase(words: list[str], at: int, found: _Found) -> None:
    """Take what a description without a verb names: `deletion of a file`, `the current time`."""
    phrase: list[str] = []
    for part in words[at : at + 8]:
        if phrase and (part in OBJECT_ENDS or part in STOPS):
            break
        phrase.append(part)
    for part in phrase:
        action = ACTIONS.get(part, "read")
        if action != "read":
            found.verbs.append(Verb(part, action, "base", part))
    if phrase and (
        phrase[0] in DETERMINERS
        # `holdings of …`: no determiner, as a verb's object would have one
        or (len(phrase) == 1 and phrase[0].endswith(("s", "tion", "ment")))
        or phrase[0] in {"current", "latest", "recent"}
        or any(part in INFORMATION or ACTIONS.get(part) == "read" for part in phrase)
    ):
        found.nouns = True


def _passives(words: list[str], at: int, found: _Found) -> None:
    """Take what `will be changed` and `are deleted` say, outside of conditions."""
    if any(part in SUBORDINATE | NEGATIONS for part in words[:at]):
        return
    for here in range(at, len(words) - 1):
        if words[here] in SUBORDINATE - {"for", "from", "to", "as", "like"} | NEGATIONS:
            return
        if words[here] not in {"be", "is", "are", "gets", "get"}:
            continue
        least = "opaque" if words[here - 1 : here] == ["will"] else "write"
        word = next(iter(words[skip(words, here + 1) :][:1]), "")
        verb, kind, form = VERBS.get(word, ("", "read", "base"))
        if form == "participle" and SEVERITY[kind] > SEVERITY[least]:
            found.verbs.append(Verb(verb, kind, form, f"{words[here]} {word}"))
