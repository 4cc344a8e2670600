"""What a policy should say of a tool, from what the tool says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hitl_agent.policy.annotations import changes, destroys
from hitl_agent.policy.annotations import goes_out as said_to_go_out
from hitl_agent.policy.suggest.description import ToolDescription
from hitl_agent.policy.suggest.names import Reading, read_name, words_of
from hitl_agent.policy.suggest.schema import Argument, Arguments, read_arguments
from hitl_agent.policy.suggest.sentences import first_sentence, read_description
from hitl_agent.policy.suggest.signs import (
    Signs,
    amount_of,
    goes_out,
    kind_of,
    read_signs,
    receives,
)
from hitl_agent.policy.suggest.words import SEVERITY, word_set

READS = frozenset({"read", "compute"})
CHANGES = frozenset({"write", "final"})

# verbs that say how something is got hold of, where the name says that it is only read
_YIELDS = word_set(
    """
    capture collect download extract give load output present provide receive render report
    resolve suggest track watch
    """
)
# verbs that work something out of what is given, and change what is only pointed to
_TRANSFORMS = word_set(
    """
    categorise categorize classify convert decode encode filter match normalise normalize rank
    score solve sort
    """
)

_MAX_KINDS = 8
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

_WEB = word_set(
    """
    bing browser feed google html http https internet online page pages rss site sites url
    urls web webpage webpages website websites
    """
)
_OUTSIDE = word_set(
    """
    bing duckduckgo external google http internet online third-party web webpage webpages
    website websites wikipedia
    """
)
_OTHERS_TEXT = _WEB | word_set(
    """
    accessibility article articles attachment attachments blog branch calendar changelog
    channel channels chat chats clipboard code comment comments commit commits console content
    contents conversation conversations description diff directory discussion discussions doc
    docs document documentation documents dom drive email emails event events feedback file
    files forum history image images inbox invitation invitations issue issues jira log logs
    mail mailbox mails memo message messages network news note notes notification
    notifications output pdf post posts project pull query readme record records repo
    repository request requests resource resources response responses review reviews rows
    screen screenshot sheet slack snapshot spreadsheet sql statement story summary table task
    tasks text thread threads ticket tickets timeline traces transaction transactions
    transcript transcripts tweet tweets video wiki
    """
)
_SEARCHES = frozenset({"search", "grep", "browse", "crawl", "scrape"})
_SENDS = word_set(
    """
    announce broadcast crosspost deliver dm email fax forward invite mail message notify page
    pay post publish push reply repost resend send share sms submit text transfer transmit
    tweet upload wire
    """
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a policy should say of a tool, and why.

    Attributes:
        effect: `read`, `write`, `irreversible`, or `unknown` where that cannot be told.
        open_world: whether its arguments leave the house.
        untrusted_output: whether its result may carry other people's text.
        kinds: arguments that are `sql`, `url`, `path` or `email`.
        amount: the argument that is an amount of money.
        evidence: what led to this, in short sentences.
    """

    effect: str
    open_world: bool
    untrusted_output: bool
    kinds: Mapping[str, str] = field(default_factory=dict)
    amount: str | None = None
    evidence: tuple[str, ...] = ()


def suggest_tool(tool: ToolDescription) -> Suggestion:
    """Judge a tool by its name, description, schema and annotations.

    The name and the description have to agree for `read`, and nothing may speak against it.
    Annotations can raise what is found, and cannot lower it.
    """
    name = read_name(tool.name)
    said = read_description(tool.description)
    arguments = read_arguments(tool.schema)
    first = first_sentence(tool.description)
    words = frozenset(words_of(tool.name)) | frozenset(first)
    given = frozenset(_until_by(words_of(tool.name)) + _until_by(first))
    verbs = frozenset(name.verbs) | frozenset(said.verbs)
    signs = read_signs(arguments.every, verbs, words)
    whole = arguments.complete and said.firm
    told, why = _effect(name, said, signs, arguments, whole=whole)
    evidence = [name.why, said.why, *signs.why, *([why] if why else [])]
    effect = _raised(told, tool.annotations, evidence)
    open_world = _open_world(effect, arguments.every, words, verbs, tool.annotations, evidence)
    kinds = {
        one.name: kind
        for one in arguments.every
        if one.top and _IDENTIFIER.fullmatch(one.name) and (kind := kind_of(one, words))
    }
    return Suggestion(
        effect=effect,
        open_world=open_world,
        untrusted_output=_untrusted(told, given, verbs, arguments.every, evidence),
        kinds=dict(list(kinds.items())[:_MAX_KINDS]),
        amount=None if effect == "read" else amount_of(arguments.every),
        evidence=tuple(evidence),
    )


def _until_by(words: list[str]) -> list[str]:
    """Return what is given, without that by which it is found: `find_user_by_email`."""
    ends = (at for at, word in enumerate(words) if word in {"by", "using", "given"})
    return words[: next(ends, len(words))]


def _effect(
    name: Reading, said: Reading, signs: Signs, arguments: Arguments, *, whole: bool
) -> tuple[str, str]:
    """Return the effect, and what decided where that is not plain from the words."""
    # a noun in the name does not outweigh a verb in the description
    named = "nouns" if said.kind in CHANGES and not name.firm else name.kind
    witnesses = [named, said.kind, signs.choices]
    gravest = max(witnesses, key=SEVERITY.__getitem__)
    if gravest in CHANGES:
        if name.kind in READS and name.firm:
            return "unknown", "the name only reads, and the rest does not: they disagree"
        if said.kind in READS:
            return "unknown", "the description only reads, and the rest does not: they disagree"
        return ("irreversible" if gravest == "final" or signs.programs else "write"), ""
    if signs.programs:
        running = "opaque" in {name.kind, said.kind} and name.kind not in READS
        return ("irreversible" if running else "unknown"), "what happens depends on what is run"
    yields = name.kind in READS and name.firm and _YIELDS.issuperset(said.opaque)
    if gravest == "opaque" and not (yields and signs.choices != "opaque"):
        return "unknown", "what happens depends on what is asked for"
    return _read_or_unknown(name, said, signs, arguments, whole=whole)


def _read_or_unknown(
    name: Reading, said: Reading, signs: Signs, arguments: Arguments, *, whole: bool
) -> tuple[str, str]:
    """Return `read` where nothing speaks against it and enough speaks for it."""
    points = any(one.last in {"id", "ids", "key"} for one in arguments.every)
    doubts = (
        (not whole, "it is too large, refers to what is not there, or hides letters"),
        (
            points and not _TRANSFORMS.isdisjoint(name.verbs),
            "it may change what it is pointed to",
        ),
        (signs.dangers, "its arguments speak against its only reading"),
        (
            not _agrees(name, said, signs, arguments),
            "name and description do not both say that it only reads",
        ),
    )
    return next((("unknown", why) for doubt, why in doubts if doubt), ("read", ""))


def _agrees(name: Reading, said: Reading, signs: Signs, arguments: Arguments) -> bool:
    """Return whether name and description say together that the tool reads."""
    if name.kind in READS:
        reads = said.kind in READS or said.kind == "opaque"  # which only says how
        return reads or (said.kind == "nouns" and not signs.contents)
    if said.kind in READS:
        return name.firm and not signs.perhaps_contents
    return name.kind == said.kind == "nouns" and not arguments.every


def _raised(effect: str, annotations: Mapping[str, object], evidence: list[str]) -> str:
    """Return the effect with what annotations add; only `true` and `false` themselves count."""
    if destroys(annotations):
        evidence.append("the annotation `destructiveHint` says that it destroys")
        return "irreversible"
    if changes(annotations) and effect == "read":
        evidence.append("the annotation `readOnlyHint` says that it does not only read")
        return "write"
    return effect


def _open_world(
    effect: str,
    arguments: Sequence[Argument],
    words: frozenset[str],
    verbs: frozenset[str],
    annotations: Mapping[str, object],
    evidence: list[str],
) -> bool:
    why = ""
    if out := next((one for one in arguments if goes_out(one)), None):
        why = f"the argument `{' '.join(out.words)}` is an address"
    elif effect != "read" and (to := next((one for one in arguments if receives(one)), None)):
        why = f"the argument `{' '.join(to.words)}` says who gets something"
    elif effect != "read" and (sends := sorted(verbs & _SENDS)):
        why = f"`{sends[0]}` lets something leave the house"
    elif outside := sorted(words & _OUTSIDE):
        why = f"`{outside[0]}` is outside of the house"
    elif said_to_go_out(annotations):
        why = "the annotation `openWorldHint` says so"
    if why:
        evidence.append(f"open world: {why}")
    return bool(why)


def _untrusted(
    effect: str,
    words: frozenset[str],
    verbs: frozenset[str],
    arguments: Sequence[Argument],
    evidence: list[str],
) -> bool:
    why = ""
    if effect == "unknown":
        why = "what it brings in cannot be told"
    elif effect == "read" and (searches := sorted(verbs & _SEARCHES)):
        why = f"`{searches[0]}` brings in what others wrote"
    elif texts := sorted(words & (_OTHERS_TEXT if effect == "read" else _WEB)):
        why = f"others can write in `{texts[0]}`"
    elif any(goes_out(one) for one in arguments):
        why = "what is at an address may be anybody's"
    if why:
        evidence.append(f"untrusted output: {why}")
    return bool(why)
