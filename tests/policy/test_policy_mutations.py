"""Thousands of damaged policies: each loads or is refused at its place, and none loosens unseen.

Run as a program, this file loads damaged policies under limits of its own and reports what came.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitl_agent.documents.reading import read_data
from hitl_agent.errors import DocumentError
from hitl_agent.policy import Facts, Past, Policy, judge, load_policy, parse_policy
from hitl_agent.policy.testing import run_tests

SHIPPED = (Path(__file__).parents[2] / "policies.yaml").read_text(encoding="utf-8")

BY_CONFIDENCE = """\
version: 1
escalation_policies:
  - action_type: refund
    auto_approve_threshold: 0.92
    soft_review_threshold: 0.75
    max_auto_approve_amount_inr: 5000
    require_two_reviewers_above_inr: 50000
    categories_always_review: [fraud]
    irreversible_actions_always_gate: [close_account, closure]
    sla_seconds: 900
    audit: true
  - action_type: transfer
    auto_approve_threshold: 0.95
    max_auto_approve_amount: 100
    require_two_reviewers_above: 1000
    categories_always_review: [abroad]
    irreversible_actions_always_gate: [standing order]
review_settings: {max_queue_depth: 100, reviewer_session_limit_minutes: 60,
  min_reviewers_per_task: 1, high_stakes_min_reviewers: 2, inter_rater_agreement_threshold: 0.7}
feedback_pipeline: {batch_size: 100, retrain_trigger: 500, min_agreement_for_training: 0.8,
  store: redis, audit_log: decisions}
audit_log: somewhere
always_gate: [hold_order]
never_run: ["drop_*"]
tools:
  give_back:
    effect: write
    action_type: refund
    amount: args.total
    category: args.why.code
    currency: args.coin
    reviewers: {min: 1, roles: [finance]}
  hold_order: {effect: read}
  close_account: {effect: write, action_type: transfer}
  transfer: {effect: write, currency: EUR}
  quote: {effect: read, open_world: true, action_type: transfer}
tests:
  - {tool: refund, args: {amount: 20}, confidence: 0.95, expect: {tier: auto_approve}}
  - {tool: refund, args: {amount: 20}, confidence: 0.8, expect: {tier: soft_review}}
  - {tool: refund, args: {amount: 6000}, confidence: 1.0, expect: {tier: hard_gate}}
  - {tool: refund, args: {amount: 20, category: fraud}, confidence: 1.0, expect: {tier: hard_gate}}
  - name: the amount of a refund is its total
    tool: give_back
    args: {total: 6000, amount: 1, why: {code: late}}
    confidence: 1.0
    expect: {tier: hard_gate, rule: amount-limit}
  - name: its category is a code
    tool: give_back
    args: {total: 1, why: {code: fraud}}
    confidence: 1.0
    expect: {tier: hard_gate, rule: category}
  - name: its currency is a coin
    tool: give_back
    args: {total: 1, coin: USD, why: {code: late}}
    confidence: 1.0
    expect: {tier: hard_gate, rule: currency}
  - {tool: hold_order, expect: {tier: hard_gate}}
  - {tool: drop_all, expect: {tier: block}}
  - {tool: close_account, args: {amount: 1}, confidence: 1.0, expect: {tier: hard_gate}}
  - {tool: transfer, args: {amount: 20}, confidence: 0.95, expect: {tier: auto_approve}}
  - {tool: transfer, args: {amount: 200}, confidence: 1.0, expect: {tier: hard_gate}}
  - name: abroad
    tool: transfer
    args: {amount: 20, category: abroad}
    confidence: 1.0
    expect: {tier: hard_gate}
  - {tool: quote, args: {amount: 1}, confidence: 0.5, expect: {tier: hard_gate}}
"""

BY_RULES = """\
version: 1
defaults: {sla_seconds: 3600, grant_ttl_seconds: 86400, workspace: data}
always_gate: ["send_*"]
never_run: [format_disk]
tools:
  "*":
    rules:
      - id: after-strangers
        when: context.untrusted && (effect != "read" || open_world)
        tier: hard_gate
        reason: other people's text was read
  pay:
    effect: write
    amount: args.total
    currency: args.coin
    counterparty: args.to
    kinds: {to: email, page: url}
    history:
      day: {by: counterparty, seconds: 86400}
      week: {by: tool, seconds: 604800}
    allowed_decisions: [approve, reject]
    redact: {"*": [card], support: [salary, iban]}
    reviewers: {min: 2, roles: [finance]}
    sla: 900
    reason: money leaves the house
    rules:
      - id: small
        when: |
          amount <= 50 &&
          history.day.count < 20 && history.week.sum + amount < 500.0
        tier: auto_approve
        reason: small ones may run
      - {id: odd-page, when: 'has(args.page) && url.page.host != "example.org"', tier: hard_gate}
      - {id: banned, when: "args.to.matches(\\"@evil[.]example$\\")", tier: block}
      - {id: large, when: amount > 5000, tier: hard_gate, reviewers: {min: 3, roles: [lead]}}
  mail: {effect: read, untrusted_output: true}
  search: {effect: read, open_world: true, untrusted_output: true, kinds: {q: sql}}
  send_mail: {effect: write, open_world: true}
  wipe: {effect: irreversible}
  "read_*": {effect: read, untrusted_output: false, redact: [key]}
tests:
  - name: a small one
    tool: pay
    args: {total: 20, to: a@example.org}
    confidence: 0.9
    category: other
    actor: ana
    now: "2026-03-01T09:30:00+00:00"
    history: {day: {count: 1, sum: 20.5}, week: {count: 1, sum: 20.5}}
    expect: {tier: auto_approve, rule: small}
  - {tool: pay, args: {total: 60, to: a@example.org}, expect: {tier: hard_gate}}
  - {tool: pay, args: {total: 20, amount: 1, to: a@evil.example}, expect: {tier: block}}
  - name: another page
    tool: pay
    args: {total: 20, to: a@example.org, page: "https://evil.example/"}
    expect: {tier: hard_gate, rule: odd-page}
  - name: after strangers
    tool: pay
    args: {total: 20, to: a@example.org}
    untrusted: [mail]
    expect: {tier: hard_gate, rule: after-strangers}
  - {tool: search, args: {q: SELECT 1}, expect: {tier: hard_gate}}
  - {tool: search, untrusted: [search], expect: {tier: hard_gate, rule: after-strangers}}
  - {tool: send_mail, expect: {tier: hard_gate, rule: "always-gate:send_*"}}
  - {tool: format_disk, expect: {tier: block}}
  - {tool: read_note, expect: {tier: auto_approve}}
"""

CORPUS = {"shipped": SHIPPED, "by_confidence": BY_CONFIDENCE, "by_rules": BY_RULES}

MUTANTS = 10_000
SECONDS = 5.0
"""Of processor time for one file: what takes longer has hung. Measured: a twentieth of a second."""
MEGABYTES = 200
ADDRESS_SPACE = 4 * 1024**3


PLAIN = {
    "amount": 1, "total": 1, "to": "a@example.org", "why": {"code": "late"}, "category": "late",
    "order_id": "A-1", "url": "https://example.org/",
}  # fmt: skip
PAST = {"day": Past(0), "week": Past(0)}
FACTS = [
    Facts(confidence=1.0, untrusted=(), history=PAST),
    Facts(confidence=0.8, untrusted=(), history=PAST),
    Facts(confidence=0.93, untrusted=("mail",), history=PAST),
    Facts(confidence=None, untrusted=(), history={"day": Past(30, 900), "week": Past(30, 900)}),
]


# damage

VALUES = [
    "", "~", "null", "true", "false", "yes", "-1", "0", "1e999", ".nan", "-.inf", "0x7f", "0o17",
    "1_000", "2026-01-01", "12:30", '"x', "'x", "|", "[", "{", "]", "}", "- a", "a: b", "? a", "*a",
    "&a b", "!!python/object:os.system x", "!a b", "<<", "%YAML 1.1", "@x", "`x`", "[a, a]",
    "[[[]]]", "{a: {a: {a: a}}}", '""', '" "', "99999999999999999999999999", "1e400", "-0.0",
    "0.1e-400", "soft_review", "auto_approve", "read", "write", "1.0000001", "-0.5", "amount >",
    "amount > 5 // x", "true) || (true", "context.untrusted", 'args["x"] == 1', "[]", "{}", "'*'",
    "double(args.x) > 1.0", "1 / 0 > 1", "args.x.all(a, args.x.all(b, a == b))", "a*",
    "'\"\".matches(\"(\")'", 'now > timestamp("x")', "\U0001f600",
]  # fmt: skip
UNSEEN = "\x00\x07\x1b\x7f\x85\u2028\u202e\ufeff\ud7ff\uffff\t\r"


def damaged(index: int) -> bytes:
    """Return the file of a number: always the same one."""
    chance = random.Random(index)
    text = list(CORPUS.values())[index % len(CORPUS)]
    damage = DAMAGE[index // len(CORPUS) % len(DAMAGE)]
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        text = damage(chance, text)
        damage = chance.choice(DAMAGE)
    content = text.encode("utf-8", "surrogatepass")
    if index % 7 == 0:
        flipped = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        content = bytes(flipped)
    return content


def a_line(chance: random.Random, text: str) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, chance.randrange(len(lines))


def delete_line(chance: random.Random, text: str) -> str:
    lines, at = a_line(chance, text)
    return "\n".join(lines[:at] + lines[at + 1 :]) or "x"


def repeat_line(chance: random.Random, text: str) -> str:
    lines, at = a_line(chance, text)
    return "\n".join(lines[:at] + [lines[at]] * chance.choice([2, 2, 50]) + lines[at + 1 :])


def swap_lines(chance: random.Random, text: str) -> str:
    lines, at = a_line(chance, text)
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines)


def indent_line(chance: random.Random, text: str) -> str:
    lines, at = a_line(chance, text)
    lines[at] = chance.choice(["  ", " ", "\t", "    "]) + lines[at]
    return "\n".join(lines)


def cut(chance: random.Random, text: str) -> str:
    return text[: chance.randrange(1, len(text) + 1)]


def change_key(chance: random.Random, text: str) -> str:
    """Misspell a key, or leave it out."""
    keys = list(re.finditer(r"(?<![A-Za-z_*\"])[A-Za-z_*\"]++(?=:)", text))
    if not keys:
        return text
    key = chance.choice(keys)
    return text[: key.start()] + chance.choice(misspelt(key[0])) + text[key.end() :]


def misspelt(key: str) -> list[str]:
    middle = len(key) // 2
    return [
        "",
        key[:middle] + key[middle + 1 :],
        key[:middle] + key[middle : middle + 1] + key[middle:],
        key.swapcase(),
        key + "s",
        key.replace("_", "-"),
        key[1:2] + key[:1] + key[2:],
    ]


def change_value(chance: random.Random, text: str) -> str:
    values = list(re.finditer(r"(?<=: )[^\n,{}\[\]]+", text))
    if not values:
        return text
    value = chance.choice(values)
    return text[: value.start()] + chance.choice(VALUES) + text[value.end() :]


def insert(chance: random.Random, text: str, what: str) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + what + text[at:]


def insert_sign(chance: random.Random, text: str) -> str:
    return insert(chance, text, chance.choice("[]{}:,'\"&*!|>%@`#?-\\()=<.$;/ \n"))


def insert_unseen(chance: random.Random, text: str) -> str:
    return insert(chance, text, chance.choice(UNSEEN))


def insert_huge(chance: random.Random, text: str) -> str:
    size = chance.choice([100, 5000, 99_000, 200_000])
    what = chance.choice(
        ["x", "9", "[", "{a: ", "- ", "'", '"', "*", "(", "!", "a.", "\n", "#", "é"]
    )
    return insert(chance, text, what * (size // len(what)))


def nest(chance: random.Random, text: str) -> str:
    depth = chance.choice([10, 31, 33, 500, 20_000])
    opening, closing = chance.choice([("[", "]"), ("{a: ", "}"), ("(", ")")])
    values = list(re.finditer(r"(?<=: )[^\n,{}\[\]]+", text))
    if not values:
        return text
    value = chance.choice(values)
    nested = opening * depth + value[0] + closing * depth
    return text[: value.start()] + nested + text[value.end() :]


def bomb(chance: random.Random, text: str) -> str:
    depth = chance.choice([3, 9, 30])
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return chance.choice(["\n".join(lines) + "\n" + text, text + "\n" + "\n".join(lines)])


def repeat(chance: random.Random, text: str) -> str:
    return chance.choice(
        [text + text, text + "\n---\n" + text, text + "\n...\n", "%A\n---\n" + text]
    )


def fold(chance: random.Random, text: str) -> str:
    return text.replace("\n", chance.choice(["\r\n", "\r", " ", "\n\n", "\n#\n"]))


DAMAGE = [
    delete_line, repeat_line, swap_lines, indent_line, cut, change_key, change_value, change_value,
    insert_sign, insert_sign, insert_unseen, insert_huge, nest, bomb, repeat, fold,
]  # fmt: skip


def load_damaged(first: int, count: int) -> dict[str, Any]:
    """Load files by their numbers and return what came; runs in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    loaded = refused = 0
    worst, wrong = (0.0, -1), []
    parse_policy(BY_RULES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGVTALRM, _too_long)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.yaml"
        for index in range(first, first + count):
            content = damaged(index)
            file.write_bytes(content)
            begun = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                policy = load_policy(file)
                for tool in ("pay", "refund", "drop_all", "nothing"):
                    judge(policy, tool, PLAIN, FACTS[0])
                loaded += 1
            except DocumentError as error:
                refused += 1
                if not _inside(error, content):
                    wrong.append(f"{index}: {error.line}:{error.column} is not in the file")
            except BaseException as error:  # noqa: BLE001  whatever else it is, it is wrong
                wrong.append(f"{index}: {type(error).__name__}: {str(error)[:200]}")
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            worst = max(worst, (time.process_time() - begun, index))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "loaded": loaded,
        "refused": refused,
        "worst": worst,
        "wrong": wrong,
        "megabytes": (after - before) // 1024,
    }


class TooLongError(Exception):
    """Raised in a load that takes too long."""


def _too_long(*_: object) -> None:
    raise TooLongError


def _inside(error: DocumentError, content: bytes) -> bool:
    lines = content.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    if not 1 <= error.line <= len(lines):
        return False
    return 1 <= error.column <= len(lines[error.line - 1]) + 1


PARTS = 4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_policy_is_loaded_or_refused_where_it_is_damaged(part):
    count = MUTANTS // PARTS
    found = subprocess.run(
        [sys.executable, __file__, str(part * count), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(found.stdout)
    assert outcome["wrong"] == []
    assert outcome["loaded"] + outcome["refused"] == count
    assert outcome["loaded"] > count / 20, "else the damage is always the same"
    assert outcome["refused"] > count / 2
    assert outcome["megabytes"] < MEGABYTES


# keys on which safety hangs

SAFETY = {
    "effect", "tier", "when", "auto_approve_threshold", "soft_review_threshold",
    "max_auto_approve_amount", "max_auto_approve_amount_inr", "require_two_reviewers_above",
    "require_two_reviewers_above_inr", "categories_always_review",
    "irreversible_actions_always_gate", "open_world", "untrusted_output", "reviewers", "rules",
    "redact", "always_gate", "never_run", "allowed_decisions", "action_type", "amount", "category",
    "currency", "counterparty", "kinds", "history",
}  # fmt: skip


def key_paths(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, dict):
        for key, item in node.items():
            if key in SAFETY:
                yield (*path, key)
            yield from key_paths(item, (*path, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from key_paths(item, (*path, index))


def cases() -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    for name, text in CORPUS.items():
        data, _ = read_data(text, "p")
        del data["tests"]
        for path in key_paths(data):
            for written in dict.fromkeys(misspelt(str(path[-1]))):
                yield name, path, written


def with_key(name: str, path: tuple[str | int, ...], written: str) -> dict[str, Any]:
    """Return a policy in which one key is written in another way, or is not there."""
    data: Any = copy.deepcopy(read_data(CORPUS[name], "p")[0])
    node = data
    for part in path[:-1]:
        node = node[part]
    value = node.pop(path[-1])
    if written:
        node[written] = value
    return data


ARGS = [
    {},
    PLAIN,
    *(
        PLAIN | {"amount": amount, "total": total}
        for amount, total in ((20, 60), (60, 20), (60, 6000), (6000, 20), (60_000, "x"))
    ),
    *(PLAIN | {"category": code, "why": {"code": code}} for code in ("fraud", "abroad", "closure")),
    *(PLAIN | {key: "USD"} for key in ("currency", "coin")),
    PLAIN | {"page": "https://evil.example/"},
    PLAIN | {"to": "a@evil.example"},
]


def probes(policy: Policy, tools: list[str]) -> list[int]:
    return [
        judge(policy, tool, args, facts).tier.severity
        for tool, args, facts in itertools.product(tools, ARGS, FACTS)
    ]


def tools_of(policy: Policy) -> list[str]:
    document = policy.document
    named = [*document.tools, *document.always_gate, *document.never_run]
    named += [one.action_type for one in document.escalation_policies]
    return [*dict.fromkeys(one.replace("*", "x") for one in named), "nothing"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPUS)
def test_no_key_on_which_safety_hangs_is_lost_unseen(name):
    """Refused, remarked on, caught by the policy's own tests, or nothing runs that did not."""
    whole = parse_policy(CORPUS[name])
    assert [str(one) for one in run_tests(whole) if not one.passed] == []
    said = {one.message for one in whole.remarks}
    tools = tools_of(whole)
    before = probes(whole, tools)
    assert {0, 2, 3} <= set(before)
    seen: Counter[str] = Counter()
    lost = []
    for _, path, written in (one for one in cases() if one[0] == name):
        data = with_key(name, path, written)
        try:
            policy = parse_policy(json.dumps(data, indent=1))
        except DocumentError:
            seen["refused"] += 1
            continue
        if written and written not in SAFETY:
            lost.append((path, written, "is read as something else"))
        elif {one.message for one in policy.remarks} - said:
            seen["remark"] += 1
        elif not all(one.passed for one in run_tests(policy)):
            seen["test"] += 1
        elif all(map(int.__ge__, probes(policy, tools), before)):
            seen["no looser"] += 1
        else:
            lost.append((path, written, "lets more run"))
    assert lost == []
    assert {"refused", "remark", "test", "no looser"} == set(seen)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(load_damaged(int(sys.argv[1]), int(sys.argv[2]))))
