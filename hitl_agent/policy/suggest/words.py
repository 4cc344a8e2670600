"""English verbs of tool names and descriptions, and what a tool does that is named after them.

A verb says one of five things. `read` and `compute` change nothing; `write` changes something that
can be changed back; `final` destroys, or lets something leave the house; `opaque` verbs, such as
`run`, say nothing: what happens depends on what is run. Words that are nouns as well, such as
`post` and `order`, are listed once more, because a noun in a name says nothing about what is done.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Class: TypeAlias = Literal["read", "compute", "opaque", "write", "final"]
Kind: TypeAlias = Literal["none", "nouns", "read", "compute", "opaque", "write", "final"]
Form: TypeAlias = Literal["base", "third", "gerund", "participle"]

SEVERITY: dict[str, int] = {
    "none": 0,
    "nouns": 0,
    "read": 1,
    "compute": 1,
    "opaque": 2,
    "write": 3,
    "final": 4,
}
"""How grave a verb of each class is; where several are said, the gravest holds."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text: a long list is read more easily without quotes."""
    return frozenset(text.split())


_READ = """
    access autocomplete browse cat check consult count crawl describe determine df dig dir
    discover display du echo enumerate examine explain explore fetch find gather get glob grep
    head identify inspect introspect investigate list listen locate look lookup ls netstat
    nslookup observe obtain peek poll preview ps query read recommend reflect retrieve return
    reveal scan scrape screenshot search see show stat summarise summarize tail tell think trace
    traceroute traverse view visualise visualize wait whoami whois
"""

_COMPUTE = """
    aggregate analyse analyze assess audit average calc calculate categorise categorize classify
    compare compute contrast convert correlate decode detect diagnose diff disassemble encode
    estimate evaluate extrapolate filter forecast geocode hash infer interpolate interpret lint
    match measure normalise normalize ocr parse predict pseudonymize quantify rank reason rerank
    score simulate solve sort tokenise tokenize transcribe translate validate vectorize verify
"""

_WRITE = """
    accept acknowledge activate adapt add adjust advance allocate allow alter amend annotate
    append apply appoint approve archive assign associate attach authenticate authorise
    authorize autofill backfill backup ban bind blacklist block blur bookmark bootstrap borrow
    build bump bundle cache cast change checkin checkout checkpoint cherry chmod chown claim
    clean cleanup clear click clock clone close collapse combine comment commit compile complete
    compose compress configure confirm connect consolidate construct consume control convey copy
    cordon correct craft create crop customise customize cut deactivate decline decompress
    decrease decrement deduplicate define delegate demote deny deposit deprovision dequeue
    derive detach dial disable disallow disassociate disconnect disengage dislike dismiss
    dispatch downgrade downvote draft drag drain draw duplicate edit eject elevate embed enable
    encrypt enforce enlist enqueue enrich enrol enroll ensure enter escalate establish evict
    exchange exclude exempt expand extend favorite favourite feed file fill finalise finalize
    finish fix flag flip focus follow force fork format freeze fulfil fulfill grant handle
    hibernate hide hold hover ignore impersonate implement import improve include increase
    increment index ingest init initialise initialize inject input insert install integrate
    introduce invalidate issue join keep kick label launch leave lift like link lock log login
    logout make manage map mark mask maximise maximize memorise memorize merge migrate minimise
    minimize mkdir mock modify mount move multiply mutate mute mv navigate notarize nudge
    offboard omit onboard open optimise optimize order organise organize pair park paste patch
    pause persist personalize pick pin pipe place play pop populate position post postpone power
    prepare prepend press prioritise prioritize process produce promote propagate propose
    protect provision push put quarantine queue quit raise react reactivate realign reapply
    reassign rebase reboot rebuild recategorize reclassify recompute reconcile reconfigure
    reconnect record recover recreate redact redeem redirect redo reduce refactor refill
    reformat refresh register reindex reinstall reinstate reject relabel relate relaunch reload
    relocate remember remind remove rename renew reopen reorder reorganize repair repeat replace
    replay replenish replicate reposition reprioritize reprocess requeue reschedule reserve
    resize restart restore restrict restructure resume retitle retry retype reuse revert rewind
    reword rewrite rollback rotate route rsvp sanction save scaffold scale schedule scroll seal
    seed set settle setup share shift shut sign silence skip slide snooze solicit spawn split
    stage standardize star start stash stop store stream strip style subscribe substitute
    suppress suspend swap switch sync synchronise synchronize tag taint tap teach tick toggle
    touch train transcode transform transition transpose trash triage trigger trim tune turn
    type unarchive unassign unban unblock unblur uncheck uncordon undelete undo unenroll
    unfavorite unfollow unfreeze unhide unlabel unlike unlink unload unlock unmark unmount
    unmute unpark unpause unpin unreact unregister unreserve unsend unset unshare unsnooze
    unstage unstar unsubscribe untag untrash unwatch unzip update upgrade upload upsert upvote
    vote watermark whitelist withhold write zip
"""

_FINAL = """
    abort annihilate announce auction bid bill book broadcast burn buy call cancel charge
    crosspost debit decommission delete deliver demolish deploy destroy detonate disburse
    discard discharge dispose dispute dm donate downsize drop eliminate email eradicate erase
    exec execute exfiltrate expel expire expunge fax finance fire flush forget forward gift hire
    invest invite kill lease liquidate mail message mint notify nuke overwrite pay payout prune
    publish purchase purge rebook refund reimburse relay release remit rent reply repost resend
    reset respond retransmit retweet revoke rm rmdir sell send sendmail ship shred shutdown sms
    spend stake submit terminate text tip topup trade transact transfer transmit truncate tweet
    uninstall unpublish vacate vacuum void wipe wire withdraw zap
"""

_OPAQUE = """
    acquire act answer ask automate batch benchmark capture collect conduct debug
    download dump emit eval exercise experiment export extract generate give group highlight
    hook initiate instruct interact invoke iterate learn load monitor operate orchestrate output
    perform ping plot present print proceed prompt provide rate recall receive render rephrase
    report request rerun resolve review run sample script select serve sleep snapshot step
    suggest take test track try watch work
"""

# verbs in the lists above that a name or a sentence has as a noun just as well
_NOUNS = """
    access audit average backup ban batch benchmark bid bill block blur book bookmark bump
    bundle cache call capture cast change charge check checkout checkpoint cherry claim clean
    clock clone comment commit compare contrast control copy count crop cut debit delegate
    deposit diff dig dir discharge dislike dispatch display dispute dm download draft drag drain
    draw dump echo email estimate exchange exercise experiment export extract favorite favourite
    fax feed file fill filter finance finish fire fix flag flush focus force forecast fork
    format forward freeze gift group hash head highlight hire hold hook import increase index
    input invite issue join kick label launch lease leave lift like link list load lock log
    login logout look lookup mail make map mark mask match measure message mock monitor mount
    move open order output pair park paste patch pause pick pin ping pipe place play plot poll
    pop position post power present press preview print process produce prompt purchase push
    query queue rank rate reason record redirect refill refund relay release rent repair repeat
    replay reply report request reserve reset resolve resume retry return review rewrite
    rollback route sample scale scan schedule score screenshot script seal search seed set setup
    share shift ship shutdown sign slide sms snapshot sort split stage stake star start stash
    stat step stop store stream strip style swap switch sync tag tail take tap test text tick
    tip toggle touch trace track trade train transfer transform transition trash triage trigger
    tune turn tweet type update upgrade upload view void vote wait watch whois wire withdraw
    work zip
"""

# forms that the rules of spelling do not give
_IRREGULAR = {
    "find": ("finds", "finding", "found"),
    "get": ("gets", "getting", "gotten"),
    "give": ("gives", "giving", "given"),
    "see": ("sees", "seeing", "seen"),
    "show": ("shows", "showing", "shown"),
    "tell": ("tells", "telling", "told"),
    "send": ("sends", "sending", "sent"),
    "pay": ("pays", "paying", "paid"),
    "buy": ("buys", "buying", "bought"),
    "sell": ("sells", "selling", "sold"),
    "make": ("makes", "making", "made"),
    "write": ("writes", "writing", "written"),
    "overwrite": ("overwrites", "overwriting", "overwritten"),
    "rewrite": ("rewrites", "rewriting", "rewritten"),
    "take": ("takes", "taking", "taken"),
    "withdraw": ("withdraws", "withdrawing", "withdrawn"),
    "draw": ("draws", "drawing", "drawn"),
    "freeze": ("freezes", "freezing", "frozen"),
    "hide": ("hides", "hiding", "hidden"),
    "hold": ("holds", "holding", "held"),
    "keep": ("keeps", "keeping", "kept"),
    "leave": ("leaves", "leaving", "left"),
    "build": ("builds", "building", "built"),
    "rebuild": ("rebuilds", "rebuilding", "rebuilt"),
    "do": ("does", "doing", "done"),
    "undo": ("undoes", "undoing", "undone"),
    "redo": ("redoes", "redoing", "redone"),
    "think": ("thinks", "thinking", "thought"),
    "spend": ("spends", "spending", "spent"),
    "bring": ("brings", "bringing", "brought"),
    "set": ("sets", "setting", "set"),
    "reset": ("resets", "resetting", "reset"),
    "put": ("puts", "putting", "put"),
    "read": ("reads", "reading", "read"),
    "run": ("runs", "running", "run"),
    "shut": ("shuts", "shutting", "shut"),
    "cancel": ("cancels", "cancelling", "cancelled"),
}

# two words that mean something other than the first of them
PARTICLES: dict[tuple[str, str], Class] = {
    ("check", "in"): "write",
    ("check", "off"): "write",
    ("check", "out"): "write",
    ("dial", "up"): "write",
    ("get", "rid"): "final",
    ("hand", "off"): "final",
    ("hand", "over"): "final",
    ("hang", "up"): "final",
    ("look", "for"): "read",
    ("look", "up"): "read",
    ("point", "out"): "read",
    ("pull", "up"): "read",
    ("shut", "down"): "final",
    ("tear", "down"): "final",
    ("work", "out"): "compute",
}

# what is done, as a noun: `deletion of a file`, `performs a search`
ACTIONS: dict[str, Class] = {
    **dict.fromkeys(
        word_set(
            """
            aggregation analysis calculation calculations check checks classification comparison
            computation conversion count detection diff discovery enumeration estimation find
            inspection listing lookup lookups retrieval scan screenshot screenshots search searches
            similarity traversal validation verification walk
            """
        ),
        "read",
    ),
    **dict.fromkeys(
        word_set(
            """
            action actions activation assignment backup booking change changes configuration
            creation deactivation edit edits insertion installation management merge migration
            modification modifications operation operations registration removal rename renewal
            restore update updates upload upsert write writes
            """
        ),
        "write",
    ),
    **dict.fromkeys(
        word_set(
            """
            broadcast cancellation deletion deletions delivery deployment destruction order payment
            payments publication purchase purchases refund reset termination trade trades
            transaction transactions transfer transfers
            """
        ),
        "final",
    ),
}

# a name that ends in one of these, or a description that starts with one, tells of something
INFORMATION = word_set(
    """
    about analytics attributes availability balance balances bio breakdown capabilities catalog
    catalogue changelog content contents context coordinates count counts data date definition
    definitions dependencies description detail details dictionary diff directory docs
    documentation duration entries environment errors examples facts features findings forecast
    guide guidelines headers headlines health help hierarchy hints history hours id ids info
    information instructions inventory items keywords languages latency leaderboard list listing
    listings location logs manifest members menu messages metadata metric metrics names news number
    overview outline participants permissions preview price prices profile
    properties quota quote quotes rates rating ratings reference references region
    regions report reports result results reviews roles rows sample schema schemas score scores
    search size snippet snippets sources specification specs stat state stats statistics status
    statuses structure suggestions summary symbols tables time timeline timestamp
    timezone timezones topics transcript tree trends types uptime usage value values
    version versions weather
    """
)


def _forms(verb: str) -> tuple[str, str, str]:
    """Return third person, gerund and participle, by the rules of spelling."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies", verb + "ing", verb[:-1] + "ied"
    third = verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")
    if verb.endswith("e") and not verb.endswith("ee"):
        return third, verb[:-1] + "ing", verb + "d"
    return third, verb + "ing", verb + "ed"


def _doubled(verb: str) -> str:
    """Return the verb with its last consonant twice, as in `stopping`; it may be no word."""
    return verb + verb[-1]


def _lexicon() -> dict[str, tuple[str, Class, Form]]:
    words: dict[str, tuple[str, Class, Form]] = {}
    lists: tuple[tuple[Class, str], ...] = (
        ("read", _READ),
        ("compute", _COMPUTE),
        ("write", _WRITE),
        ("final", _FINAL),
        ("opaque", _OPAQUE),
    )
    for kind, text in lists:
        for verb in text.split():
            third, gerund, participle = _forms(verb)
            # of two forms that are spelled alike the later counts: `set` is the base
            forms: tuple[tuple[Form, str], ...] = (
                ("gerund", _doubled(verb) + "ing"),
                ("participle", _doubled(verb) + "ed"),
                ("participle", participle),
                ("gerund", gerund),
                ("third", third),
                ("base", verb),
            )
            words |= {word: (verb, kind, form) for form, word in forms}
    return words


VERBS = _lexicon()
"""Every form of every verb: its base, its class and which form it is."""

NOUNS = frozenset(word for verb in _NOUNS.split() for word in (verb, _forms(verb)[0]))
"""Verbs that are nouns as well; the plural of the noun is the third person of the verb."""


TOLD: dict[str, str] = {
    "read": "reads",
    "compute": "works something out",
    "opaque": "does not say what happens",
    "write": "changes something",
    "final": "cannot be undone, or leaves the house",
}
"""What a verb of each class does, for a person."""
