from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.errors import ConfigurationError, DocumentError, PlannerError
from hitl_agent.runbook import (
    MAX_STEPS,
    Reference,
    Runbook,
    Step,
    check_tools,
    load_runbook,
    parse_runbook,
    parse_template,
    resolve_args,
)
from hitl_agent.runbook import templates as module

REFUND = """\
task: Refund order A-1001 and tell the customer
steps:
  - id: order
    tool: look_up_order
    args: {order_id: A-1001}
    reason: see what was paid
  - id: refund
    tool: refund_order
    args:
      order_id: "${order.order_id}"
      amount: "${order.total}"
      reason: "arrived broken, see ${order.status}"
    reason: the customer is owed the full amount
    if_refused: continue
  - together:
      - {id: mail, tool: send_email, args: {to: "${order.mails[0]}", copies: 1}, reason: tell them}
      - id: note
        tool: write_file
        args: {lines: [{text: "paid ${refund}"}, 2024-01-31]}
"""

ORDER = {
    "order_id": "A-1001",
    "total": 12.5,
    "status": "delivered",
    "mails": ["a@b.c", "d@e.f"],
    "lines": [{"sku": "x", "paid": True}],
    "none": None,
}


def steps(*entries: str) -> str:
    return "task: t\nsteps:\n" + "".join(f"- {entry}\n" for entry in entries)


def refusal(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_runbook(text, file="r.yaml")
    return str(caught.value).removeprefix("r.yaml:")


def one(value: object) -> Step:
    return Step("pay", "refund_order", {"a": value}, at="r.yaml:7:5")


def resolved(value: object, **results: object) -> object:
    return resolve_args(one(value), results or {"order": ORDER})["a"]


# reading


def test_a_runbook_is_read_in_groups():
    runbook = parse_runbook(REFUND, file="r.yaml")
    assert runbook.task == "Refund order A-1001 and tell the customer"
    assert [[step.id for step in group] for group in runbook.groups] == [
        ["order"],
        ["refund"],
        ["mail", "note"],
    ]
    order, refund, mail, note = runbook.steps
    assert order == Step(
        "order",
        "look_up_order",
        {"order_id": "A-1001"},
        "see what was paid",
        "stop",
        "r.yaml:3:5",
    )
    assert refund.if_refused == "continue"
    assert refund.places == {
        "/order_id": "r.yaml:10:17",
        "/amount": "r.yaml:11:15",
        "/reason": "r.yaml:12:15",
    }
    assert (mail.at, mail.places) == ("r.yaml:16:9", {"/to": "r.yaml:16:49"})
    assert (note.reason, note.places) == ("", {"/lines/0/text": "r.yaml:19:31"})


def test_a_date_stays_the_text_that_was_written():
    assert parse_runbook(REFUND).steps[3].args["lines"][1] == "2024-01-31"


def test_a_runbook_is_read_from_a_file(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_text(REFUND)
    assert load_runbook(path) == load_runbook(str(path)) == parse_runbook(REFUND, file=str(path))
    with pytest.raises(ConfigurationError, match="there is no file"):
        load_runbook(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the document is empty; it holds: `task`, `steps`"),
        ("task: t", "1:1: `steps` is missing"),
        ("task: t\nsteps: []", "2:8: `steps` is empty"),
        ("task: t\nsteps: {}", "2:8: `steps` is a mapping; it should be a list"),
        ("task: ''\nsteps: [{id: a, tool: b}]", "1:7: `task` is empty"),
        ("task: ' '\nsteps: [{id: a, tool: b}]", "1:7: `task` is empty"),
        ("task: t\nstep: []\nsteps: [{id: a, tool: b}]", "2:1: unknown key `step`, did you mean"),
        (steps("5"), "3:3: item 1 of `steps` is `5`; it should be a mapping"),
        (steps("{tool: b}"), "3:3: `id` is missing"),
        (steps("{id: a}"), "3:3: `tool` is missing"),
        (steps("{id: a, tol: b}"), "3:11: unknown key `tol`, did you mean `tool`?"),
        (steps("{id: 5, tool: b}"), "3:8: `id` is `5`; it should be text"),
        (steps("{id: 1a, tool: b}"), "3:8: `id` is `1a`; write up to 100 letters, digits"),
        (steps("{id: a b, tool: b}"), "3:8: `id` is `a b`; write up to 100 letters"),
        (steps("{id: '', tool: b}"), "3:8: `id` is ``; write up to 100 letters"),
        (steps("{id: \u00e9, tool: b}"), "3:8: `id` is `\u00e9`; write"),
        (steps("{id: " + "a" * 101 + ", tool: b}"), "3:8: `id` is `aaa"),
        (steps("{id: a, tool: ''}"), "3:17: `tool` is empty"),
        (steps("{id: a, tool: b, args: []}"), "3:26: `args` is a list; it should be a mapping"),
        (steps("{id: a, tool: b, args: {1: 2}}"), "3:27: a key must be text; put `1` in quotes"),
        (steps("{id: a, tool: b, args: {x: .inf}}"), "3:30: `.inf` cannot be compared"),
        (steps("{id: a, tool: b, args: {x: !!timestamp 2024-01-01}}"), "3:30: tags such as"),
        (steps("{id: a, tool: b, if_refused: stpo}"), "3:32: `if_refused` is `stpo`; write `stop`"),
        (steps("{id: a, tool: b}", "{id: a, tool: b}"), "4:8: a step before this has the id `a`"),
        (steps("{together: []}"), "3:14: `together` is empty"),
        (steps("{together: [{tool: b}]}"), "3:15: `id` is missing"),
        (steps("{together: [{together: []}]}"), "3:15: `id` is missing (and 2 more)"),
        (steps("{id: a, together: [{id: b, tool: c}]}"), "3:4: unknown key `id`; known here: `tog"),
        (
            steps("{together: [{id: a, tool: b}, {id: a, tool: b}]}"),
            "3:38: a step before this has the id `a`",
        ),
        (steps("{id: a, tool: b, args: {'${x}': 1}}"), "3:27: the key `${x}` holds a reference"),
        (steps("{id: a, tool: b, args: {x: [{'$${x}': 1}]}}"), "3:32: the key `$${x}` holds"),
    ],
)
def test_a_runbook_with_a_fault_is_refused_where_the_fault_stands(text, message):
    assert refusal(text).startswith(message)


FIRST = "{id: first, tool: x}"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "${frist.a}",
            "refers to `frist.a`, but no step before it is called `frist`, did you mean",
        ),
        ("${zzz}", "refers to `zzz`, but no step before it is called `zzz`"),
        ("${second}", "refers to `second`, but a step cannot refer to itself"),
        (
            "${side.x}",
            "refers to `side.x`, but `side` is proposed in the same turn; move it before",
        ),
        ("${third.x}", "refers to `third.x`, but `third` comes later; move it before"),
        ("a ${first.x} ${third}", "refers to `third`, but `third` comes later"),
        ("${first", "holds `${` without a `}`; for the text `${` write `$${`"),
        ("a $$${", "holds `${` without a `}`"),
        ("${}", "holds `${}`, which is no reference; write it like `${step.key[0]}`"),
        ("${first.}", "holds `${first.}`, which is no reference"),
        ("${first..a}", "holds `${first..a}`, which is no reference"),
        ("${first.0}", "holds `${first.0}`, which is no reference"),
        ("${first[a]}", "holds `${first[a]}`, which is no reference"),
        ("${first[-1]}", "holds `${first[-1]}`, which is no reference"),
        ("${first[1234567]}", "holds `${first[1234567]}`, which is no reference"),
        ("${ first }", "holds `${ first }`, which is no reference"),
        ("${first.a + 1}", "holds `${first.a + 1}`, which is no reference"),
        ("${first.__class__()}", "holds `${first.__class__()}`, which is no reference"),
        ("${f\u0456rst}", "holds `${f\u0456rst}`, which is no reference"),
        ("${a${b}}", "holds `${a${b}`, which is no reference"),
    ],
)
def test_a_reference_that_cannot_lead_anywhere_is_refused_where_it_stands(reference, message):
    text = steps(
        FIRST,
        "together:\n"
        f"  - {{id: second, tool: x, args: {{deep: [{{a: '{reference}'}}]}}}}\n"
        "  - {id: side, tool: x}",
        "{id: third, tool: x}",
    )
    assert refusal(text).startswith(f"5:45: step `second` {message}")


def test_a_runbook_has_at_most_a_thousand_steps():
    assert MAX_STEPS == 1000
    entries = [f"{{id: s{n}, tool: x}}" for n in range(1000)]
    assert len(parse_runbook(steps(*entries)).steps) == 1000
    more = steps(*entries[:999], "{together: [{id: a, tool: x}, {id: b, tool: x}]}")
    assert refusal(more).startswith("1002:33: a runbook has at most 1000 steps; split it")


# the tools


def test_a_tool_that_does_not_exist_is_refused_at_its_step():
    runbook = parse_runbook(REFUND, file="r:1.yaml")
    check_tools(runbook, {"look_up_order", "refund_order", "send_email", "write_file"})
    with pytest.raises(DocumentError) as caught:
        check_tools(runbook, ["look_up_order", "refund_orders", "send_email"])
    assert str(caught.value) == (
        "r:1.yaml:7:5: step `refund` calls `refund_order`, and there is no such tool,"
        " did you mean `refund_orders`?"
    )
    assert (caught.value.file, caught.value.line, caught.value.column) == ("r:1.yaml", 7, 5)


def test_without_a_close_name_every_tool_is_listed():
    runbook = parse_runbook(steps("{id: a, tool: zzz}"), file="r.yaml")
    with pytest.raises(DocumentError, match=r"no such tool; there are: `mail`, `pay`$"):
        check_tools(runbook, ["pay", "mail"])
    with pytest.raises(DocumentError, match=r"no such tool; there are: none$"):
        check_tools(runbook, [])


def test_a_step_that_stands_nowhere_is_refused_all_the_same():
    runbook = Runbook("t", ((Step("a", "b"),),))
    with pytest.raises(ConfigurationError, match="step `a` calls `b`") as caught:
        check_tools(runbook, ["c"])
    assert not isinstance(caught.value, DocumentError)


# filling in


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${order.total}", 12.5),
        ("${order.lines[0].paid}", True),
        ("${order.lines[0]}", {"sku": "x", "paid": True}),
        ("${order.mails[1]}", "d@e.f"),
        ("${order.none}", None),
        ("${order}", ORDER),
        ("", ""),
        ("plain $ and $$ and { }", "plain $ and $$ and { }"),
        (" ${order.total}", " 12.5"),
        ("${order.total}${order.total}", "12.512.5"),
        ("paid: ${order.lines[0].paid}", "paid: true"),
        ("none: ${order.none}", "none: null"),
        ("to ${order.mails}", 'to ["a@b.c", "d@e.f"]'),
        ("see ${order.status}.", "see delivered."),
        ("$${order.total}", "${order.total}"),
        ("$$${order.total}", "$12.5"),
        ("$$$${order.total}", "$${order.total}"),
        ("$$$$${order.total}", "$$12.5"),
        ("${order.order_id}: $${x} $y", "A-1001: ${x} $y"),
    ],
)
def test_references_are_filled_in(text, value):
    filled = resolved(text)
    assert filled == value
    assert type(filled) is type(value)


def test_what_is_no_text_stays_as_it_is():
    args = {"n": 1, "b": False, "none": None, "list": [1, ["${order.total}"]], "o": {"k": 2.5}}
    step = Step("pay", "x", args)
    assert resolve_args(step, {"order": ORDER}) == args | {"list": [1, [12.5]]}
    assert step.args["list"] == [1, ["${order.total}"]]


def test_a_result_is_never_searched_for_references():
    results = {"a": "${b}", "b": "secret"}
    assert resolved("${a}", **results) == "${b}"
    assert resolved("x ${a} $${b}", **results) == "x ${b} ${b}"


def test_filled_in_values_share_nothing_with_the_results():
    results = {"order": {"lines": [1]}}
    args = resolve_args(one("${order.lines}"), results)
    args["a"].append(2)
    assert results == {"order": {"lines": [1]}}


@pytest.mark.parametrize(
    ("text", "results", "message"),
    [
        (
            "${order.totl}",
            {"order": {"order_id": 1, "total": 2}},
            "refers to `order.totl`, but `order` has only: order_id, total, did you mean `total`?",
        ),
        (
            "${order.zzz}",
            {"order": {f"k{n}": n for n in range(9)}},
            "refers to `order.zzz`, but `order` has only: k0, k1, k2, k3, k4, k5, k6, k7 …",
        ),
        ("${order.a}", {"order": {}}, "refers to `order.a`, but `order` is empty"),
        ("${order[0]}", {"order": {"0": 1}}, "refers to `order[0]`, but `order` has only: 0"),
        ("${order.a.b}", {"order": {"a": "text"}}, "but `order.a` is text, with nothing inside"),
        ("${order.a[0]}", {"order": {"a": "text"}}, "but `order.a` is text, with nothing inside"),
        ("${order.a}", {"order": 5}, "but `order` is `5`, with nothing inside"),
        ("${order.a}", {"order": None}, "but `order` is `null`, with nothing inside"),
        ("${order.a}", {"order": [1, 2]}, "but `order` is a list of 2, counted from 0"),
        ("${order[2]}", {"order": [1, 2]}, "but `order` is a list of 2, counted from 0"),
        ("${order.a}", {}, "but `order` has no result: its call was not run"),
        ("${order.__class__}", {"order": {"a": 1}}, "but `order` has only: a"),
        ("x ${order}", {"order": object()}, "refers to `order`, which is no JSON: Object of type"),
        (
            "x ${order}",
            {"order": float("nan")},
            "refers to `order`, which is no JSON: Out of range",
        ),
        ("${order..a}", {"order": {}}, "holds `${order..a}`, which is no reference"),
        ("${order", {"order": {}}, "holds `${` without a `}`"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_is_there(text, results, message):
    with pytest.raises(PlannerError) as caught:
        resolve_args(one(text), results)
    assert str(caught.value).startswith("r.yaml:7:5: step `pay` ")
    assert message in str(caught.value)


def test_the_error_names_the_place_of_the_argument():
    note = parse_runbook(REFUND, file="r.yaml").steps[3]
    with pytest.raises(PlannerError, match=r"^r\.yaml:19:31: step `note` refers to `refund`, but"):
        resolve_args(note, {"order": ORDER})


def test_text_does_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(module, "MAX_TEXT", 10)
    assert resolved("${a}${a}", a="x" * 5) == "x" * 10
    with pytest.raises(PlannerError, match="fills in to more than 10 characters"):
        resolved("${a}${a}!", a="x" * 5)


def test_a_result_too_deep_to_copy_is_refused():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PlannerError, match="step `pay`"):
        resolved("${a}", a=deep)


# JSON


def test_a_runbook_goes_to_plain_json_and_back():
    runbook = parse_runbook(REFUND, file="r.yaml")
    plain = json.loads(json.dumps(runbook.to_json()))
    assert Runbook.from_json(plain) == runbook
    assert plain["groups"][0][0]["at"] == "r.yaml:3:5"
    assert pickle.loads(pickle.dumps(runbook)) == runbook


def test_the_plain_json_shares_nothing_with_the_runbook():
    runbook = parse_runbook(REFUND)
    runbook.to_json()["groups"][0][0]["args"]["order_id"] = "B"
    assert runbook.steps[0].args == {"order_id": "A-1001"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"task": 1, "groups": []},
        {"task": "t", "groups": [{}]},
        {"task": "t", "groups": [[{"id": "a"}]]},
        {"task": "t", "groups": [[{"id": "a", "tool": "b", "if_refused": "no"}]]},
        {"task": "t", "groups": [[{"id": "a", "tool": 5}]]},
        {"task": object()},
        [],
        None,
    ],
    ids=range(9),
)
def test_what_is_no_runbook_is_refused(data):
    with pytest.raises(PlannerError, match="cannot be read"):
        Runbook.from_json(data)


def test_a_runbook_of_an_older_release_may_lack_what_has_a_default():
    data = {"task": "t", "groups": [[{"id": "a", "tool": "b"}]], "later": 1}
    assert Runbook.from_json(data).steps == (Step("a", "b"),)


text = st.text(st.characters(codec="utf-8"), max_size=20)
json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
some_steps = st.builds(
    Step,
    id=text,
    tool=text,
    args=st.dictionaries(text, json_data, max_size=3),
    reason=text,
    if_refused=st.sampled_from(["stop", "continue"]),
    at=text,
    places=st.dictionaries(text, text, max_size=2),
)
groups = st.lists(st.lists(some_steps, max_size=2).map(tuple), max_size=2).map(tuple)


@settings(deadline=None)
@given(st.builds(Runbook, task=text, groups=groups))
def test_every_runbook_survives_json(runbook):
    assert Runbook.from_json(json.loads(json.dumps(runbook.to_json()))) == runbook


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
references = st.builds(
    Reference, names, st.lists(names | st.integers(0, 999_999), max_size=3).map(tuple)
)
plain_text = st.text("a$ {}.é\n", min_size=1, max_size=8)


def render(parts: tuple[str | Reference, ...]) -> str:
    """Write the text that is read as `parts`: every `$` before a `{` or a reference is doubled."""
    whole = ""
    for part in reversed(parts):
        if isinstance(part, Reference):
            whole = f"${{{part}}}" + whole
            continue
        for char in reversed(part):
            doubled = char == "$" and whole.lstrip("$").startswith("{")
            whole = (char * 2 if doubled else char) + whole
    return whole


def joined(parts: list[str | Reference]) -> tuple[str | Reference, ...]:
    """Join neighbouring texts, as they are read."""
    result: list[str | Reference] = []
    for part in parts:
        if result and isinstance(part, str) and isinstance(result[-1], str):
            result[-1] += part
        else:
            result.append(part)
    return tuple(result)


@settings(deadline=None)
@given(st.lists(references | plain_text, max_size=5).map(joined))
def test_every_text_with_references_can_be_written_and_is_read_as_meant(parts):
    assert parse_template(render(parts)) == parts


@settings(deadline=None)
@given(st.text("ab.[]0${} -", max_size=20))
def test_any_text_is_a_template_or_refused(text):
    try:
        parts = parse_template(text)
    except ValueError:
        return
    assert parse_template(render(parts)) == parts


@settings(deadline=None)
@given(st.text("ab.[]0${} ", max_size=20), st.dictionaries(st.sampled_from("ab"), json_data))
def test_filling_in_raises_only_a_planner_error(text, results):
    try:
        resolved(text, **results)
    except PlannerError as error:
        assert str(error).startswith("r.yaml:7:5: step `pay` ")  # noqa: PT017
