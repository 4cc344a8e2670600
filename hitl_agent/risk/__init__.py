"""How sure a planner is of a call: raw confidence, and what it is worth once it is calibrated."""

from hitl_agent.risk.calibrate import (
    MAX_KNOTS,
    Calibrator,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    read_calibrator,
)
from hitl_agent.risk.estimate import (
    MAX_SOURCE,
    Estimate,
    agreement,
    as_estimate,
    auxiliary,
    ensemble,
    from_logprobs,
    same_call,
    tokens_of,
    verbalised,
)

__all__ = [
    "MAX_KNOTS",
    "MAX_SOURCE",
    "Calibrator",
    "Estimate",
    "Identity",
    "Isotonic",
    "Platt",
    "Temperature",
    "agreement",
    "as_estimate",
    "auxiliary",
    "ensemble",
    "from_logprobs",
    "read_calibrator",
    "same_call",
    "tokens_of",
    "verbalised",
]
