"""A plan that a person wrote: the tool calls to propose, one after the other or together.

A value in a step's arguments can refer to the result of an earlier step: `${order.total}`,
`${order.lines[0].sku}`. Text that is one reference and nothing else becomes the value itself, with
its type. In other text the value is put in: text as it is, anything else as JSON. Before `{`, each
`$$` stands for a `$`: so `$${` is the text `${`, and `$$${order.total}` a `$` and the total.
What a result holds is never searched for references again.
"""

from hitl_agent.runbook.reading import MAX_STEPS, check_tools, load_runbook, parse_runbook
from hitl_agent.runbook.steps import Runbook, Step, resolve_args
from hitl_agent.runbook.templates import MAX_TEXT, Reference, parse_template

__all__ = [
    "MAX_STEPS",
    "MAX_TEXT",
    "Reference",
    "Runbook",
    "Step",
    "check_tools",
    "load_runbook",
    "parse_runbook",
    "parse_template",
    "resolve_args",
]
