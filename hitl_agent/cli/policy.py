"""Commands for policies: check, test, explain, suggest, diff, backtest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_agent.cli import output
from hitl_agent.cli.options import (
    DatabaseOption,
    GraphOption,
    JsonOption,
    LimitOption,
    object_option,
    use_database,
)
from hitl_agent.errors import ConfigurationError, DocumentError, InvalidCall, InvalidDecision

if TYPE_CHECKING:
    from hitl_agent.policy import Policy, Remark

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Read, test and compare policies, and see what they would have done."
        " Example: hitl policy check policies.yaml"
    ),
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The policy's file.")]
ToolsOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="NAME", help="The tools of this graph in langgraph.json."),
]


@app.command()
def check(
    file: FileArgument,
    graph: ToolsOption = None,
    limit: LimitOption = 1000,
    json_: JsonOption = False,
) -> None:
    """Read a policy and say what is wrong, or probably not meant, in the order of the file.

    Ends with 1 if it is refused. With --graph also holds it against that graph's tools.

    Example: hitl policy check policies.yaml --graph order_desk
    """
    from hitl_agent.cli.policy_views import print_check

    with output.reported(json_=json_):
        policy: Policy | None = None
        error: DocumentError | None = None
        remarks: list[Remark] = []
        try:
            policy, remarks = _checked(file, graph)
        except DocumentError as refusal:
            if Path(refusal.file).resolve() != file.resolve():  # the graph's own policy
                raise
            error = refusal
        print_check(file, policy, error, remarks, limit=limit, json_=json_)
        raise typer.Exit(output.FAILED if error else output.DONE)


def _checked(file: Path, graph: str | None) -> tuple[Policy, list[Remark]]:
    from hitl_agent.policy import load_policy

    policy = load_policy(file)
    if graph is None:
        return policy, list(policy.remarks)
    from hitl_agent.cli.policy_sources import schemas_of

    remarks = [*policy.remarks, *policy.check_tools(schemas_of(graph))]
    return policy, sorted(remarks, key=lambda one: (one.line, one.column))


@app.command("test")
def own_tests(file: FileArgument, limit: LimitOption = 1000, json_: JsonOption = False) -> None:
    """Run the tests that a policy brings along; print those that fail, in the order of the file.

    Ends with 1 if one fails, and if there are none.

    Example: hitl policy test policies.yaml
    """
    from hitl_agent.cli.policy_views import print_outcomes
    from hitl_agent.policy import load_policy
    from hitl_agent.policy.testing import run_tests

    with output.reported(json_=json_):
        policy = load_policy(file)
        outcomes = run_tests(policy)
        print_outcomes(policy, outcomes, limit=limit, json_=json_)
        if not outcomes:
            example = "{tool: NAME, args: {}, expect: {tier: hard_gate}}"
            next_ = f"add some under `tests`: {example}"
            output.fail(f"`{file}` has no tests", next_, output.FAILED, json_=json_)
        raise typer.Exit(output.DONE if all(one.passed for one in outcomes) else output.FAILED)


@app.command()
def explain(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="A tool, or a type of action.")],
    args: Annotated[
        str, typer.Option("--args", metavar="JSON or @FILE", help="The call's arguments.")
    ] = "{}",
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", metavar="X", help="From 0 to 1; else it is not known."),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", metavar="NAME", help="In place of the one in the arguments."),
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Who the agent acts for.")
    ] = None,
    untrusted: Annotated[
        list[str] | None,
        typer.Option(
            "--untrusted", metavar="TOOL", help="A tool that brought untrusted text; repeatable."
        ),
    ] = None,
    now: Annotated[
        str | None, typer.Option("--now", metavar="TIME", help="ISO 8601 with a zone; else now.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Else policies.yaml of the project."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Say how a call would be judged, and why, rule by rule, strictest first. Nothing runs.

    What is not given is taken for nothing: no untrusted text, nothing in the spans of the past.
    Ends with 0 whatever the answer is.

    Example: hitl policy explain refund_order --args '{"order_id": "A-1", "amount": 20}'
    """
    from hitl_agent.calls import ToolCall, check_call
    from hitl_agent.cli.policy_sources import default_policy, tool_meant
    from hitl_agent.cli.policy_views import print_verdict
    from hitl_agent.policy import Facts, judge, load_policy
    from hitl_agent.policy.testing import nothing_happened

    with output.reported(json_=json_):
        if confidence is not None and not 0 <= confidence <= 1:
            raise ConfigurationError(
                f"`--confidence` is {confidence}, not a number from 0 to 1",
                hint="write it like --confidence 0.9, or leave it out if it is not known",
            )
        given = object_option(args, "--args")
        try:
            check_call(ToolCall("explain", tool, given))
        except InvalidCall as error:
            raise InvalidDecision(
                f"no agent can make this call: {error}", hint="correct TOOL or --args"
            ) from error
        moment = datetime.now(UTC) if now is None else _moment(now)
        in_force = load_policy(policy or default_policy())
        meant, note = tool_meant(in_force, tool)
        facts = Facts(
            confidence=confidence,
            category=category,
            actor=actor,
            now=moment,
            untrusted=tuple(untrusted or ()),
            history=nothing_happened(in_force, meant),
        )
        print_verdict(in_force, meant, judge(in_force, meant, given, facts), facts, json_=json_)
        if note and not json_:
            output.hint(output.safe(note))


def _moment(text: str) -> datetime:
    from hitl_agent.policy.testing import moment

    try:
        return moment(text)
    except ValueError as error:
        raise ConfigurationError(
            f"`--now` {error}", hint="see `hitl policy explain --help`"
        ) from error


@app.command()
def suggest(
    tools: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOOLS]",
            help="JSON: a list of tools as MCP or a model's interface has it; - is stdin.",
        ),
    ] = None,
    graph: ToolsOption = None,
    json_: JsonOption = False,
) -> None:
    """Suggest a policy from what tools say of themselves, in their order, with the evidence.

    What cannot be told is left for a person. Read every line before it is put in force.

    Example: hitl policy suggest tools.json > policies.yaml
    """
    from hitl_agent.cli.policy_sources import described_tools
    from hitl_agent.policy.suggest import suggest_policy, suggestions_json

    with output.reported(json_=json_):
        described = described_tools(tools, graph)
        if json_:
            output.print_json(suggestions_json(described))
            return
        for line in suggest_policy(described).splitlines():
            output.line(output.json_text(line))  # its backslashes are YAML's own
        output.hint("read every line; then: hitl policy check FILE")


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy after.")],
    limit: LimitOption = 1000,
    json_: JsonOption = False,
) -> None:
    """Say what changed in meaning from one policy to another, in the order of the new file.

    Each change is `looser` if more calls run by it, `stricter` if fewer do, or with more people,
    and `changed` where the files alone do not tell. Ends with 0, with differences too.

    Example: hitl policy diff policies.yaml proposed.yaml
    """
    from hitl_agent.cli.policy_views import print_changes
    from hitl_agent.policy import load_policy
    from hitl_agent.policy.comparison import compare

    with output.reported(json_=json_):
        before, after = load_policy(old), load_policy(new)
        print_changes(before, after, compare(before, after), limit=limit, json_=json_)


@app.command()
def backtest(
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="The policy to try.")],
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only calls since: 7d, 24h, or ISO 8601; UTC if no zone.",
        ),
    ] = None,
    graph: GraphOption = None,
    limit: LimitOption = 100,
    json_: JsonOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Judge every recorded call again: how tiers move, how much people would have to review.

    Ends with 1 if a call that a reviewer rejected or edited would have run by itself; those are
    listed, newest first. A call that was judged twice as it was is one; edited, it is another.

    Example: hitl policy backtest proposed.yaml --since 30d
    """
    from hitl_agent.cli.policy_report import print_report, watched
    from hitl_agent.cli.policy_sources import start_of
    from hitl_agent.policy import load_policy
    from hitl_agent.policy.backtest import backtest as judge_again
    from hitl_agent.policy.backtest import longest_span, looks_at_context
    from hitl_agent.storage.database import shared_database
    from hitl_agent.storage.recorded import recorded_calls

    with output.reported(json_=json_):
        policy = load_policy(candidate)
        start = None if since is None else start_of(since)
        use_database(database_url)
        calls = recorded_calls(
            shared_database(),
            since=start,
            before=timedelta(seconds=longest_span(policy)),
            graph=graph,
            untrusted=looks_at_context(policy),
        )
        report = judge_again(policy, watched(calls, json_=json_), keep=limit)
        print_report(policy, report, json_=json_)
        raise typer.Exit(output.FAILED if report.disputed else output.DONE)
