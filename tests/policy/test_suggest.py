"""A policy to start from says what names, descriptions and schemas support, and no more."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hitl_agent.documents.reading import read_data
from hitl_agent.errors import ConfigurationError
from hitl_agent.policy import judge, parse_policy
from hitl_agent.policy.evaluate import Facts
from hitl_agent.policy.suggest import (
    ToolDescription,
    read_tools,
    suggest_policy,
    suggest_tool,
    suggestions_json,
)

CATALOGUE = Path(__file__).parent / "suggest_catalogue.json"


def effect(name, description, **properties):
    schema = {"type": "object", "properties": properties}
    return suggest_tool(ToolDescription(name, description, schema)).effect


TEXT = {"type": "string"}


# --------------------------------------------------------------------------- verbs and grammar


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("get_balance", "Get the balance of the account."),
        ("listOrders", "Lists orders."),
        ("mcp__shop__order_find", "Finds an order."),
        ("repo.branches", "List branches."),
        ("git_log", "Shows the commits of a branch."),
        ("directory_tree", "Returns a tree of files and directories."),
        ("issue-read", "Get information about an issue."),
        ("get_weather", "The current weather in a city."),
        ("is_open", "Checks whether a shop is open."),
        ("find_user", "Find the user before you delete an account."),
        ("list_tools", "Returns tools that create or update issues."),
        ("get_events", "Returns events that were created or deleted by the user."),
        ("get_plan", "Get the plan. This does not modify, delete or send anything."),
        ("get_page", "Get a page. Use this when you need to update its content."),
        ("search_web", "Performs a search of the web."),
        ("get_id", "Use this tool to look up an id. Set `limit` to get fewer."),
        ("get_order", "This tool can be used to fetch an order."),
        ("list_users", "When called without arguments, lists every user."),
        ("read_log", "Accepts an id and returns the log."),
        ("read_file", "Read a file. Handles various encodings and ignores a byte order mark."),
        ("get_logs", "Download the logs of a job."),
        ("get_series", "Executes a PromQL query."),
        ("page_snapshot", "Captures a snapshot of the current page."),
        ("api_get_rows", "Use this to get rows and to count them."),
        ("rows_list", "Returns rows. It is useful. Also."),
        ("get_comments", "Returns comments and likes of a post."),
        ("get_name", "[BETA] Users: Get a name.\n\nArgs:\n    id: delete or create it"),
    ],
)
def test_what_only_reads_by_name_and_description_is_a_read(name, description):
    assert effect(name, description) == "read"


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        ("add_label", "Add a label to an issue.", "write"),
        ("browser_click", "Performs click on the page.", "write"),
        ("branch_rename", "Renames a branch.", "write"),
        ("git_commit", "Records changes to the repository.", "write"),
        ("get_or_create_user", "Get a user, or create one.", "write"),
        ("foo", "Changes the colour.", "write"),
        ("foo", "This changes nothing but updates an index.", "write"),
        ("mail_draft", "Writes a draft.", "write"),
        ("delete_file", "Delete a file.", "irreversible"),
        ("foo", "This tool allows you to permanently delete a repository.", "irreversible"),
        ("payment", "Makes a payment.", "irreversible"),
        ("sendEmail", "Sends an e-mail.", "irreversible"),
        ("update_site", "Updates the site and publishes it.", "irreversible"),
        ("remove", "Deletion of a record.", "irreversible"),
    ],
)
def test_what_changes_something_is_named_by_its_gravest_verb(name, description, expected):
    assert effect(name, description) == expected


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("read_mail", "Reads mail and then permanently deletes it."),
        ("read_mail", "Reads mail. Also deletes what was read."),
        ("read_mail", "Reads mail. Messages will be removed."),
        ("read_mail", "Reads mail. Messages are deleted."),
        ("get_file", "Get a file. Delete it afterwards."),
        ("view_once", "Views a message, which deletes it."),
        ("lookup_record", "Looks up a record, fixing what is wrong."),
        ("get_space", "Gets space by deleting old files."),
        ("list_mail", "Empties the trash."),
        ("check_mail", "Does not change anything but deletes the mail."),
        ("get_return", "Returns a form and posts it to the office."),
        ("get_value", "Sets a value."),
        ("show_news", "Shows a notification to the user."),
        ("find_and_tag", "Finds a file."),
        ("get_rid_of_row", "Gets a row."),
        ("get_rows", "For deleting rows"),
        ("get_rows", "Before anything else"),
        ("volume_snapshot", "Takes a snapshot of a volume."),
        ("delete_row", "Gets a row."),
        ("get_row", ""),
        ("get_row", "Frobnicate the row."),
        ("row", "The row."),
        ("", "Gets a row."),
        ("\u0434\u0430", "\u0434\u0430"),
        ("get_row", "Gets a row and d\u0435letes it."),
        ("get_row", "Gets a row and de\u200bletes it."),
        ("run_job", "Runs a job."),
        ("get_row", "Gets a row. " + "It is wide. " * 2000 + "Also deletes it."),
    ],
)
def test_without_two_that_agree_nothing_is_a_read(name, description):
    assert effect(name, description, id=TEXT) != "read"


# ------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("argument", "schema"),
    [
        ("sql", TEXT),
        ("cmd", {"anyOf": [TEXT, {"type": "null"}]}),
        ("query", TEXT | {"description": "SQL to run"}),
        ("code", TEXT | {"description": "Python code"}),
        ("dry_run", {"type": "boolean"}),
        ("confirm", {"type": "boolean"}),
        ("mark_as_read", {"type": "boolean"}),
        ("output_path", TEXT),
        ("filename", TEXT | {"description": "File to save the result to"}),
        ("newName", TEXT),
        ("action", {"enum": ["list", "delete"]}),
        ("method", {"enum": ["GET", "POST"]}),
        ("options", {"properties": {"overwrite": {"type": "boolean"}}}),
        ("options", {"type": "array", "items": {"properties": {"operation": {"const": "drop"}}}}),
        ("options", {"$ref": "https://example.org/schema"}),
        ("options", {"$ref": "#/$defs/missing"}),
    ],
)
def test_arguments_can_speak_against_a_read(argument, schema):
    assert effect("get_report", "Gets a report.") == "read"
    assert effect("get_report", "Gets a report.", **{argument: schema}) != "read"


@pytest.mark.parametrize(
    ("name", "description", "argument", "schema"),
    [
        ("search_code", "Searches code.", "query", TEXT),
        ("get_country", "Gets a country.", "country_code", TEXT),
        ("calculate", "Calculates the value of an expression.", "expression", TEXT),
        ("check_code", "Checks and validates code.", "content", TEXT),
        ("list_files", "Lists files.", "recursive", {"type": "boolean"}),
        ("list_issues", "Lists issues.", "include_deleted", {"type": "boolean"}),
        ("get_issue", "Gets an issue.", "method", {"enum": ["get", "get_comments"]}),
        ("get_route", "Gets a route.", "mode", {"enum": ["driving", "walking"]}),
    ],
)
def test_arguments_of_reading_tools_speak_for_nothing_else(name, description, argument, schema):
    assert effect(name, description, **{argument: schema}) == "read"


def test_a_schema_that_contains_itself_is_read_to_its_end():
    node = {"properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    schema = {"properties": {"filter": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    tool = ToolDescription("find_items", "Finds items.", schema)
    assert suggest_tool(tool).effect == "read"
    node["properties"]["overwrite"] = {"type": "boolean"}
    assert suggest_tool(tool).effect == "unknown"


def test_a_program_makes_what_runs_it_irreversible():
    assert effect("run_code", "Runs code.", code=TEXT) == "irreversible"
    assert effect("execute_sql", "Executes SQL.", sql=TEXT) == "irreversible"
    assert effect("query", "Queries the database.", sql=TEXT) == "unknown"


def test_kinds_and_amounts_are_taken_from_the_schema():
    properties = {
        "sql": TEXT,
        "imageUrl": TEXT,
        "link": TEXT | {"format": "uri"},
        "file_path": {"anyOf": [TEXT, {"type": "null"}]},
        "to": {"type": "array", "items": TEXT, "description": "email addresses"},
        "total_amount": {"type": "number"},
        "min_amount": {"type": "number"},
        "not an identifier url": TEXT,
        "json_path": TEXT,
        "color": TEXT,
    }
    found = suggest_tool(ToolDescription("pay", "Pays.", {"properties": properties}))
    assert found.kinds == {
        "sql": "sql",
        "imageUrl": "url",
        "link": "url",
        "file_path": "path",
        "to": "email",
    }
    assert found.amount == "total_amount"
    search = ToolDescription("get_bill", "Gets a bill.", {"properties": {"amount": TEXT}})
    assert suggest_tool(search).amount is None


@pytest.mark.parametrize(
    ("name", "description", "properties", "open_world", "untrusted"),
    [
        ("get_balance", "Gets the balance.", {}, False, False),
        ("get_time", "Gets the current time.", {"timezone": TEXT}, False, False),
        ("find_user_by_email", "Finds a user by e-mail.", {"email": TEXT}, False, False),
        ("get_settings", "Gets your settings.", {}, False, False),
        ("read_file", "Reads a file.", {"path": TEXT}, False, True),
        ("list_messages", "Lists messages.", {}, False, True),
        ("list_transactions", "Lists transactions.", {}, False, True),
        ("search_items", "Searches items.", {"text": TEXT}, False, True),
        ("fetch", "Fetches a page.", {"url": TEXT}, True, True),
        ("search", "Searches the internet.", {"q": TEXT}, True, True),
        ("send_money", "Sends money.", {"recipient": TEXT}, True, False),
        ("add_note", "Adds a note.", {"text": TEXT}, False, False),
        ("invite", "Invites a person.", {"email": TEXT}, True, False),
    ],
)
def test_what_goes_out_and_what_comes_in(name, description, properties, open_world, untrusted):
    found = suggest_tool(ToolDescription(name, description, {"properties": properties}))
    assert (found.open_world, found.untrusted_output) == (open_world, untrusted)


def test_the_evidence_names_the_words_that_decided():
    found = suggest_tool(ToolDescription("get_row", "Deletes a row."))
    assert found.evidence[:3] == (
        "the name has the verb `get` (reads)",
        "the description says `deletes` (cannot be undone, or leaves the house)",
        "the name only reads, and the rest does not: they disagree",
    )


# ---------------------------------------------------------------------------------- annotations


def test_annotations_raise():
    def told(name, description, **annotations):
        return suggest_tool(ToolDescription(name, description, {}, annotations))

    assert told("get_row", "Gets a row.", readOnlyHint=False).effect == "write"
    assert told("get_row", "Gets a row.", destructiveHint=True).effect == "irreversible"
    assert told("set_row", "Sets a row.", destructiveHint=True).effect == "irreversible"
    assert told("row", "The row", readOnlyHint=False).effect == "unknown"
    assert told("get_row", "Gets a row.", openWorldHint=True).open_world
    assert told("get_row", "Gets a row.", readOnlyHint="false").effect == "read"


RANK = {"read": 0, "write": 1, "unknown": 2, "irreversible": 3}
VOCABULARY = """
    get list read create delete send post row mail it and the or url that not by to of will is but
    which message search returns deletes posts removes , . run sql amount this use
"""
WORDS = st.sampled_from(VOCABULARY.split())
SENTENCES = st.lists(WORDS, max_size=14).map(" ".join)
NAMES = st.one_of(st.lists(WORDS, max_size=4).map("_".join), st.text(max_size=8))
KEYS = """
    properties type items anyOf allOf enum const $ref format description url sql amount action path
    to overwrite
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner | st.sampled_from(["string", "#/properties/url", "#", "uri", "delete"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)
SCHEMAS = st.dictionaries(st.sampled_from(["properties", "allOf", "$ref", "type"]), JSON)
HINTS = st.dictionaries(
    st.sampled_from(["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]),
    st.booleans() | st.none() | st.text(max_size=3) | st.integers(),
)
TOOLS = st.builds(ToolDescription, NAMES, SENTENCES | st.text(max_size=30), SCHEMAS, HINTS)


@given(TOOLS)
def test_annotations_never_lower(tool):
    bare = suggest_tool(ToolDescription(tool.name, tool.description, tool.schema))
    told = suggest_tool(tool)
    assert RANK[told.effect] >= RANK[bare.effect]
    assert told.open_world >= bare.open_world
    assert told.untrusted_output >= bare.untrusted_output
    assert told.kinds == bare.kinds


@given(TOOLS)
def test_any_tool_gets_the_same_suggestion_each_time(tool):
    found = suggest_tool(tool)
    assert found == suggest_tool(tool)
    assert found.effect in RANK
    assert found.evidence
    json.dumps(suggestions_json([tool]))


@given(SENTENCES, SENTENCES)
def test_a_second_thing_that_is_done_never_makes_a_read(first, second):
    assert effect("get_row", f"Gets a row and deletes it. {first}") != "read"
    assert effect("get_row", f"{second}. Also deletes it.") != "read"


# ------------------------------------------------------------------------------- the written text


def loaded(text):
    return read_data(text, "suggested.yaml")[0]


@given(st.lists(TOOLS, max_size=6))
@example(
    [ToolDescription("a\n- b: {", "Gets\u2028a: {row}"), ToolDescription("*"), ToolDescription("")]
)
@example(
    [ToolDescription("true"), ToolDescription("1e3"), ToolDescription("null"), ToolDescription("~")]
)
@example([ToolDescription("get_row", "Gets a row."), ToolDescription("get_row", "Gets a row.")])
def test_the_policy_is_yaml_that_says_what_was_suggested(tools):
    text = suggest_policy(tools)
    assert text == suggest_policy(tools)
    assert all(each.isprintable() or each == "\n" for each in text)
    assert max(map(len, text.split("\n"))) < 1200
    data = loaded(text)
    names = [tool.name for tool in tools]
    assert set(data["tools"]) <= {*names, "*"}
    for name, entry in data["tools"].items():
        if name == "*":
            continue
        gated = name in data.get("always_gate", [])
        assert ("effect" in entry) != gated
        found = [suggest_tool(tool) for tool in tools if tool.name == name]
        assert gated == (len(found) > 1 or found[0].effect == "unknown")
        assert gated or entry["effect"] == found[0].effect


def test_the_policy_loads_and_gates_what_it_should():
    tools = [
        ToolDescription("get_balance", "Gets the balance."),
        ToolDescription("read_mail", "Reads mail."),
        ToolDescription("fetch", "Fetches a page.", {"properties": {"url": TEXT}}),
        ToolDescription("send_mail", "Sends mail.", {"properties": {"to": TEXT}}),
        ToolDescription("row", "The row."),
        ToolDescription("del*", "Gets a row."),
    ]
    policy = parse_policy(suggest_policy(tools))
    assert policy.remarks == ()

    def tier(tool, *untrusted):
        return judge(policy, tool, {}, Facts(untrusted=untrusted)).tier.value

    assert tier("get_balance") == tier("read_mail") == "auto_approve"
    assert tier("get_balance", "read_mail") == "auto_approve"
    assert {tier(name) for name in ("fetch", "send_mail", "row", "del*")} == {"hard_gate"}
    ids = {hit.id for hit in judge(policy, "fetch", {}, Facts(untrusted=("read_mail",))).rules}
    assert "after-untrusted-text" in ids


def test_a_written_policy_reads_as_a_person_would_write_it():
    tools = [
        ToolDescription("get_balance", "Gets the balance."),
        ToolDescription("send money", "Sends money."),
        ToolDescription("row", "The row."),
        ToolDescription("refund", "Refunds.", {"properties": {"amount": {}, "receipt_url": {}}}),
    ]
    assert suggest_policy(tools) == (
        """\
# A policy to start from, suggested from the names, descriptions and schemas of 4 tools.
# They are what the tools say of themselves: read every line, and correct what is wrong.
version: 1
# left out, and gated as unknown, for a name that no policy can hold: send money

# what these do cannot be told: a person decides every call
always_gate:
  - "row"

tools:
  "*":
    # what a tool that is not listed brings in may be anybody's
    untrusted_output: true
    rules:
      - id: after-untrusted-text
        when: context.untrusted && (effect != "read" || open_world)
        tier: hard_gate
        reason: >-
          text that others wrote was read before, and this call changes something
          or leaves the house
  "get_balance":
    # the name has the verb `get` (reads)
    # the description says `gets` (reads)
    effect: read
    open_world: false
    untrusted_output: false
  "row":
    # the name has no verb, and ends in `row`
    # the description names what is given
    # name and description do not both say that it only reads
    # untrusted output: what it brings in cannot be told
    # effect: read, write or irreversible?
    open_world: false
    untrusted_output: true
  "refund":
    # `refund` in the name is a noun as well
    # the description says `refunds` (cannot be undone, or leaves the house)
    # open world: the argument `receipt url` is an address
    # untrusted output: what is at an address may be anybody's
    effect: irreversible
    open_world: true
    untrusted_output: true
    kinds: {"receipt_url": url}
    amount: "amount"
"""
    )


def test_the_json_has_every_tool():
    tools = [ToolDescription("get_row", "Gets a row.")]
    assert suggestions_json(tools) == {
        "tools": {
            "get_row": {
                "effect": "read",
                "open_world": False,
                "untrusted_output": False,
                "evidence": [
                    "the name has the verb `get` (reads)",
                    "the description says `gets` (reads)",
                ],
            }
        }
    }


# ------------------------------------------------------------------------------- lists of tools


OF_FUNCTIONS = [
    json.dumps([{"type": "function", "annotations": {"y": 2}, "function": function}])
    for function in [{"name": "a", "description": "b", "parameters": {"x": 1}}]
]


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff[{"name":"a","description":"b","parameters":{"x": 1},"annotations":{"y": 2}}]',
        '[{"name": "a", "description": "b", "inputSchema": {"x": 1}, "annotations": {"y": 2}}]',
        '[{"name": "a", "description": "b", "input_schema": {"x": 1}, "annotations": {"y": 2}}]',
        '{"tools": [{"name":"a","description":"b","parameters":{"x": 1},"annotations":{"y": 2}}]}',
        '{"name": "a", "description": "b", "parameters": {"x": 1}, "annotations": {"y": 2}}',
        *OF_FUNCTIONS,
    ],
)
def test_a_list_of_tools_comes_in_several_forms(text):
    assert read_tools(text, file="t.json") == [ToolDescription("a", "b", {"x": 1}, {"y": 2})]


def test_a_list_can_have_one_tool_on_each_line():
    tools = read_tools('{"name": "a"}\n\n{"name": "b", "description": null}\n', file="t.jsonl")
    assert tools == [ToolDescription("a"), ToolDescription("b")]
    assert read_tools("[]", file="t.json") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.json:1:1: this is no JSON: expecting value; write an array of tools"),
        ('[\n  {"name": "a"},\n]', "t.json:3:1: this is no JSON"),
        ('{"name": "a"}\n{"name": }', "t.json:2:10: this is no JSON: expecting value; write one"),
        ("[NaN]", "t.json: `NaN` is no JSON number; write a number, or null"),
        ('{"name": "a"}\n{"x": NaN}', "t.json:2:1: `NaN` is no JSON number"),
        ("[" + "9" * 5000 + "]", "t.json: the JSON has a number with too many digits"),
        ("[" * 200_000, "t.json: the JSON nests too deep"),
        ("7", "t.json: this is `7`; write an array of tools, each with `name`"),
        ('{"tool": []}', "t.json: this is a mapping; write an array of tools"),
        ('{"tools": {}}', "t.json: this is a mapping; write an array of tools"),
        ("[7]", "t.json: tool 1 is `7`; write an object with `name`"),
        ('[{"function": 7}]', "t.json: tool 1: `function` is `7`; write an object with `name`"),
        ("[{}]", "t.json: tool 1 has no `name`; write the name that the model calls"),
        ('[{"name": 7}]', "t.json: tool 1: `name` is `7`; write text that is not empty"),
        ('[{"name": ""}]', "t.json: tool 1: `name` is ``; write text that is not empty"),
        ('[{"name": "a", "description": []}]', "tool 1 (`a`): `description` is a list; write text"),
        ('[{"name": "a", "parameters": []}]', "`parameters` is a list; write an object"),
        ('[{"name": "a", "annotations": 1}]', "`annotations` is `1`; write an object"),
        (
            '[{"name": "a", "parameters": {}, "inputSchema": {}}]',
            "tool 1 (`a`) has `inputSchema` and `parameters`; keep one of the two",
        ),
        ('[{"name": "a"}, {"name": "a"}]', "t.json: tool 2: `a` is there twice; keep one"),
        ('[{"name": "a", "name": "b"}]', "t.json: `name` is there twice in one object; keep one"),
        ('[{"name": "\\u001b[2J\\u202e"}, {"name": "\\u001b[2J\\u202e"}]', "`\\x1b[2J\\u202e` is"),
        (" " * 4_000_001, "t.json: the text is longer than 4,000,000 characters; split it"),
        (
            json.dumps([{"name": str(n)} for n in range(1001)]),
            "t.json: there are more than 1,000 tools; split the list",
        ),
    ],
)
def test_what_is_no_list_of_tools_is_refused_with_what_to_write(text, message):
    with pytest.raises(ConfigurationError) as caught:
        read_tools(text, file="t.json")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_any_text_is_a_list_of_tools_or_refused(text):
    try:
        tools = read_tools(text, file="t.json")
    except ConfigurationError:
        return
    assert all(isinstance(tool.name, str) and tool.name for tool in tools)


# ------------------------------------------------------------------------------------ bounded work


@pytest.mark.parametrize(
    "piece",
    [
        *("\n", " ", "*", '"', "<", "\t\n", "\n#", "a-", ".\n\n ", "`x` ", "get, ", "by "),
        *("Gets it and deletes it. ", "x is ", "it really ", "a tool to ", "a, which "),
    ],
)
def test_a_long_description_takes_little_time(piece):
    long = "Gets a row. " + piece * (100_000 // len(piece))
    tools = [ToolDescription("get_row", long), ToolDescription("get_row", long[:20_000])]
    start = time.process_time()
    found = [suggest_tool(tool).effect for tool in tools]
    assert time.process_time() - start < 1
    assert found[0] != "read"


def test_a_large_schema_takes_little_time_and_is_no_read():
    deep = {}
    for _ in range(800):
        deep = {"properties": {"a": deep, "b": deep}}
    wide = {"properties": {f"a{n}": {"anyOf": [{"$ref": "#/x"}] * 99} for n in range(999)}}
    wide["x"] = {"anyOf": [{"$ref": "#/x"}, {"$ref": "#/properties/a1"}] * 999}
    for schema in (deep, wide):
        start = time.process_time()
        assert suggest_tool(ToolDescription("get_row", "Gets a row.", schema)).effect == "unknown"
        assert time.process_time() - start < 1


# -------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("half", ["tuning", "held_back"])
def test_reads_of_the_catalogue_are_found_and_writes_are_not_taken_for_reads(half):
    entries = [one for one in json.loads(CATALOGUE.read_text("utf-8")) if one["half"] == half]
    called = {"read": [], "write": []}
    for one in entries:
        tool = ToolDescription(one["name"], one["description"], one["input_schema"])
        called[one["label"]].append(suggest_tool(tool).effect == "read")
    assert min(len(called["read"]), len(called["write"])) > 75
    assert sum(called["write"]) / len(called["write"]) <= 0.05
    assert sum(called["read"]) / len(called["read"]) >= 0.85
