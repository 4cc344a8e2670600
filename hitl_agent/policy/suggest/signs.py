"""What the arguments of a tool say about the tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hitl_agent.policy.suggest.names import read_name, words_of
from hitl_agent.policy.suggest.schema import Argument
from hitl_agent.policy.suggest.words import SEVERITY, VERBS, Kind, word_set

_CHOICE_NAMES = word_set(
    """
    action actions command method mode op operation subcommand verb
    """
)
_LANGUAGES = word_set(
    """
    aggregation bash cypher ddl dml executed graphql javascript js lua mongodb perl php plsql
    powershell python ruby shell sparql sql statement statements terminal typescript
    """
)
_PROGRAMS = word_set(
    """
    bash cmd cypher graphql javascript js mutation powershell shell sql
    """
)
_PERHAPS_PROGRAMS = word_set(
    """
    code command commands expression function pipeline program query script scripts snippet
    statement statements
    """
)
_RUNNING = word_set("eval exec execute invoke run script")
_SEARCHING = word_set("browse discover find grep look lookup search")
_WORKING_OUT = frozenset(verb for verb, kind, _ in VERBS.values() if kind == "compute")

_DANGERS = word_set(
    """
    cascade confirm confirmation confirmed destructive force overwrite permanent permanently
    upsert
    """
)
_CHANGING_FLAGS = word_set(
    """
    acknowledge archive create delete drop mark move notify overwrite persist publish purge
    remove reset save send store upload write
    """
)
_SAVING = word_set("dest destination download export out outfile output save")
_PLACES = word_set(
    """
    as dir directory file filename folder location outfile path to
    """
)
_CONTENTS = word_set("body content contents data payload")
_PERHAPS_CONTENTS = _CONTENTS | word_set(
    """
    attributes comment description fields message note notes properties subject text title
    value values
    """
)
_CHANGES = word_set("changes edits modifications patch replacement updates")
_URLS = word_set("href uri url urls webhook")
_HOSTS = word_set("domain endpoint host hostname link webpage website")
_FILES = word_set(
    """
    dir directory file filename filepath folderpath path pathname
    """
)
_NO_FILES = word_set("api css field json jsonpath key object url x xpath")
_RECIPIENTS = word_set(
    """
    address attendees bcc beneficiary cc destination email emails iban invitee invitees
    participants payee phone recipient recipientid recipients to
    """
)
_MAIL = frozenset({"email", "emails", "e-mail", "mail"})
_URL_FORMATS = frozenset({"uri", "url", "iri", "uri-reference"})
_NO_PROGRAMS = _URL_FORMATS | {"date", "date-time", "email"}
_SAVED = frozenset({"save", "saved", "write", "written", "store"})
_AMOUNTS = ("amount", "total", "sum", "price", "payment", "fee", "cost", "budget", "tip")
_MONEY = word_set(
    """
    amount cents currency dollars eur euros money pay payment price usd
    """
)
_BOUNDS = word_set("above below count from limit max maximum min minimum")


class Signs(NamedTuple):
    """What arguments say about the effect.

    Attributes:
        choices: the gravest of the actions that can be chosen; `none` if there are none.
        programs: arguments that take a program, a query language or a command.
        dangers: arguments that make a reading tool change something.
        contents: arguments that take something to be written.
        perhaps_contents: the same, or something to look for.
        why: all of them in words.
    """

    choices: Kind
    programs: bool
    dangers: bool
    contents: bool
    perhaps_contents: bool
    why: tuple[str, ...]


def read_signs(
    arguments: Sequence[Argument], verbs: frozenset[str], words: frozenset[str]
) -> Signs:
    """Return what arguments say; `verbs` and `words` are those of the name and description."""
    choices: Kind = "none"
    programs = dangers = False
    why: list[str] = []
    for one in arguments:
        kind, value = _chosen(one)
        if SEVERITY[kind] > SEVERITY[choices]:
            choices = kind
            if SEVERITY[kind] > SEVERITY["read"]:
                why.append(f"the argument {_named(one)} can be {_quoted(value)}")
        if _program(one, verbs, words):
            programs = True
            why.append(f"the argument {_named(one)} takes a program or a query")
        if _danger(one):
            dangers = True
            why.append(f"the argument {_named(one)} is one of a tool that changes something")
    contents = any(_content(one, _CONTENTS) for one in arguments)
    perhaps = any(_content(one, _PERHAPS_CONTENTS) for one in arguments)
    return Signs(choices, programs, dangers, contents, perhaps, tuple(why))


def _named(one: Argument) -> str:
    return _quoted(one.name)


def _quoted(text: str) -> str:
    """Return foreign text for a sentence: short, and with nothing unseen in it."""
    shown = "".join(each if each.isprintable() and each != "`" else "?" for each in text[:40])
    return f"`{shown}`" if len(text) <= len(shown) else f"`{shown}…`"


def _chosen(one: Argument) -> tuple[Kind, str]:
    gravest: tuple[Kind, str] = ("none", "")
    if one.last not in _CHOICE_NAMES:
        return gravest
    for value in one.choices:
        words = words_of(value)
        kind: Kind = read_name(value).kind
        if len(words) == 1 and words[0] in VERBS and VERBS[words[0]][2] == "base":
            kind = VERBS[words[0]][1]
        if SEVERITY[kind] > SEVERITY[gravest[0]]:
            gravest = (kind, value)
    return gravest


def _program(one: Argument, verbs: frozenset[str], words: frozenset[str]) -> bool:
    """Return whether an argument is run, and not only looked at or searched for."""
    if not one.text or one.format in _NO_PROGRAMS:
        return False
    if not _PROGRAMS.isdisjoint(one.words):
        return True
    qualified = one.last == "code" and len(one.words) > 1  # a code of a country is no program
    if _PERHAPS_PROGRAMS.isdisjoint(one.words) or (qualified and _LANGUAGES.isdisjoint(one.words)):
        return False
    works_out = bool(verbs) and verbs <= _WORKING_OUT
    if not _LANGUAGES.isdisjoint(one.about):
        return not works_out
    language = not _LANGUAGES.isdisjoint(words)
    if works_out:
        return language and one.last in {"expression", "function"}
    searches = one.last == "query" and not verbs.isdisjoint(_SEARCHING)
    return not searches and (language or not verbs.isdisjoint(_RUNNING))


def _danger(one: Argument) -> bool:
    """Return whether only a tool that changes something has such an argument."""
    first = one.words[0] if one.words else ""
    if one.types == {"boolean"} and (first in _CHANGING_FLAGS):
        return True
    alone = one.words in {("dry", "run"), ("dryrun",)} or (
        len(one.words) == 1 and one.last in _DANGERS
    )
    saves = (first in _SAVING and not _PLACES.isdisjoint(one.words)) or (
        one.last in _FILES and not _SAVED.isdisjoint(one.about)
    )
    return alone or (one.types != {"boolean"} and (saves or first == "new" or one.last in _CHANGES))


def _content(one: Argument, names: frozenset[str]) -> bool:
    return one.last in names and not one.choices and one.types != {"boolean"}


def kind_of(one: Argument, words: frozenset[str]) -> str | None:
    """Return which facts can be worked out from an argument: `sql`, `url`, `path` or `email`."""
    several = "array" in one.types
    mail = one.last in {"email", "emails"} or (
        one.last in _RECIPIENTS and not _MAIL.isdisjoint(one.about)
    )
    ways = (
        ("sql", _is_sql(one, words) and not several),
        ("email", one.format == "email" or mail),
        ("url", (one.format in _URL_FORMATS or one.last in _URLS) and not several),
        (
            "path",
            (one.format == "path" or (one.last in _FILES and _NO_FILES.isdisjoint(one.words)))
            and not several,
        ),
    )
    return next((kind for kind, fits in ways if fits), None) if one.text else None


def _is_sql(one: Argument, words: frozenset[str]) -> bool:
    if "sql" in one.words:
        return True
    told = "sql" in one.about or ("sql" in words and "search" not in words)
    return told and one.last in {"query", "statement"}


def goes_out(one: Argument) -> bool:
    """Return whether an argument says where on the network something is."""
    return one.text and (one.format in _URL_FORMATS or one.last in _URLS or one.last in _HOSTS)


def receives(one: Argument) -> bool:
    """Return whether an argument says who gets something."""
    if one.last in {"address", "destination"}:
        return not one.about.isdisjoint(_MAIL | {"wallet", "recipient"})
    named = one.words[:1] == ("recipient",)
    sent = one.words[:1] == ("to",) and one.last in {
        "account",
        "address",
        "number",
        "phone",
        "user",
    }
    return one.last in _RECIPIENTS or named or sent


def amount_of(arguments: Sequence[Argument]) -> str | None:
    """Return the argument that is an amount of money, if there is one and only one such."""
    for wanted in _AMOUNTS:
        found = [
            one.name
            for one in arguments
            if one.top
            and wanted in {one.last, one.words[0] if one.words else ""}
            and not one.choices
            and (not one.types or one.types & {"number", "integer", "string"})
            and (one.last == wanted or one.last in _MONEY)
            and not _BOUNDS.intersection(one.words)
            and one.name.isascii()
            and one.name.isidentifier()
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None
