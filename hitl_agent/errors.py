"""Every error this package raises on purpose.

HitlError
├── ConfigurationError        something that a person wrote is wrong: a file, an option, a name
│   └── DocumentError         … in a YAML file, with file, line and column
├── DatabaseError             the database cannot be used
│   ├── DatabaseUnavailable   it does not answer, or refuses us
│   ├── DatabaseNotReady      it answers, and is too old or not migrated
│   └── CheckpointRefused     what stands in a checkpoint is not what may stand there
├── InvalidCall               a tool call that cannot be judged or run as it stands
├── DecisionError             a decision was refused; nothing changed
│   ├── UnknownThread         no such thread on this database
│   ├── NothingWaiting        the thread has no call that waits for a decision
│   ├── StaleDecision         the call no longer waits: decided, replaced or withdrawn
│   └── InvalidDecision       the answer does not fit what was asked
├── ExecutionError            a call was not run
│   ├── GrantRefused          there is no valid grant for exactly this call
│   ├── CallRefused           policy or a reviewer refused a call that a program made
│   ├── CallBusy              another process runs this very call
│   ├── ThreadBusy            another process drives the thread
│   ├── LeaseLost             another process took the thread over; what we wrote was refused
│   ├── TimeUp                a tool's time is over, and it has sent nothing
│   └── OutcomeUnknown        a tool cannot tell whether its effect happened
└── PlannerError              the planner gave no usable plan

Messages are lower case without a full stop; what the user typed stands in backticks; `hint` is
the next command to type, or the next thing to do.
"""

from __future__ import annotations


class HitlError(Exception):
    """Base of all errors; catching it catches everything this package raises on purpose.

    Args:
        message: what is wrong and where.
        hint: what to do next, one line, or nothing.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders: rebuild from the state, not from the arguments."""
        return (_rebuild, (type(self), self.__dict__.copy()))

    def __str__(self) -> str:
        return self.message


def _rebuild(cls: type[HitlError], state: dict[str, object]) -> HitlError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = (state.get("message", ""),)
    return error


class ConfigurationError(HitlError):
    """Raised when a file, an option or a name that a person wrote cannot be used."""


class DocumentError(ConfigurationError):
    """Raised when a YAML document is refused.

    Args:
        message: what is wrong and what to write instead.
        file: the document's name as the user gave it.
        line: 1-based line.
        column: 1-based column.
    """

    def __init__(
        self, message: str, *, file: str, line: int, column: int, hint: str | None = None
    ) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}", hint=hint)
        self.file = file
        self.line = line
        self.column = column


class DatabaseError(HitlError):
    """Raised when the database cannot be used."""


class DatabaseUnavailable(DatabaseError):
    """Raised when no connection can be made, or a connection is lost for good."""


class DatabaseNotReady(DatabaseError):
    """Raised when the server is too old, or its schema is older or newer than this program."""


class CheckpointRefused(DatabaseError):
    """Raised when a value may not enter a checkpoint, or one found there is not to be trusted.

    Nothing was written, or nothing was taken over from what was read.
    """


class InvalidCall(HitlError):
    """Raised when a tool call has no canonical form, or does not fit its tool's schema."""


class DecisionError(HitlError):
    """Raised when a decision is refused. Nothing was recorded as decided."""


class UnknownThread(DecisionError):
    """Raised when the database holds no such thread."""


class NothingWaiting(DecisionError):
    """Raised when nothing in the thread waits for a decision."""


class StaleDecision(DecisionError):
    """Raised when the call that the decision is about no longer waits for one."""


class InvalidDecision(DecisionError):
    """Raised when the answer does not fit what was asked."""


class ExecutionError(HitlError):
    """Raised when a call was not run."""


class GrantRefused(ExecutionError):
    """Raised when no valid grant covers exactly this call."""


class CallRefused(ExecutionError):
    """Raised when a guarded tool was called without a call id and policy or a reviewer refused."""


class CallBusy(ExecutionError):
    """Raised when another process runs this very call and its time is not up."""


class ThreadBusy(ExecutionError):
    """Raised when another process drives the thread and its lease has not run out."""


class LeaseLost(ExecutionError):
    """Raised when another process has taken the thread over, and our write was refused.

    Nothing was written. The other process goes on with the thread.
    """


class TimeUp(ExecutionError):
    """Raised when a tool asks for the time it has left and there is none.

    A tool that has not sent anything lets it pass: the call has failed without effect.
    """


class OutcomeUnknown(ExecutionError):
    """Raised when a tool has sent its effect on the way and cannot tell whether it happened.

    The call is then in doubt: a person is asked, and it is not run again by itself.
    """


class PlannerError(HitlError):
    """Raised when the planner fails or its plan cannot be used."""
