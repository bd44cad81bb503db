"""Every way the domain says no.

* DomainError             carries `field` (JSON pointer to the fault), `hint` (what to do), and
                          `also`, the faults that were found beside it
  x Invalid               a value that can never be right
  x NotFound              there is no such thing
    + Unknown             a reference inside a body names nothing
  x Taken                 the name, MAC or address belongs to somebody else
  x IllegalTransition     the thing is in the wrong state
    + Stale               it was changed meanwhile
  x InUse                 something else depends on it
  x NotReady              the site or machine lacks what the verb needs
  x Denied                the rules forbid it, whatever the state
    + Forbidden           the policy in force forbids it
      - ApprovalNeeded    an approval would let it happen
      - ApprovalUnfit     the approval that was named is not good for this
  x Exhausted             nothing is left to hand out
"""

from typing import ClassVar


class DomainError(Exception):
    """Base class.  Says what is wrong; never says which HTTP status that is."""

    code: ClassVar[str] = "domain"

    also: "tuple[DomainError, ...]" = ()

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint

    @property
    def hinted(self) -> str:
        """What is wrong and, where that is known, what to do."""
        return f"{self}. {self.hint}" if self.hint else str(self)


class Invalid(DomainError):
    """A value that can never be right."""

    code = "invalid"


class NotFound(DomainError):
    """There is no such thing."""

    code = "not-found"


class Unknown(NotFound):
    """A reference inside a request names nothing."""

    code = "unknown-reference"


class Taken(DomainError):
    """The name, MAC or address belongs to somebody else."""

    code = "taken"


class IllegalTransition(DomainError):
    """The machine's state does not allow this."""

    code = "illegal-transition"


class Stale(IllegalTransition):
    """The record was changed since the caller read it."""

    code = "stale"


class InUse(DomainError):
    """Something else depends on it, which the message names."""

    code = "in-use"


class NotReady(DomainError):
    """The site or the machine lacks what the verb needs."""

    code = "not-ready"


class Denied(DomainError):
    """The rules forbid it, whatever the state."""

    code = "denied"


class Forbidden(Denied):
    """The policy in force forbids it; *decision* is kept by whoever answers the caller."""

    code = "policy-denied"

    def __init__(self, message: str, *, decision: object, field: str = "", hint: str = "") -> None:
        super().__init__(message, field=field, hint=hint)
        self.decision = decision


class ApprovalNeeded(Forbidden):
    """An approval would let it happen."""

    code = "approval-needed"


class ApprovalUnfit(Forbidden):
    """The approval that was named is not good for this."""

    code = "approval-unfit"


class Exhausted(DomainError):
    """Nothing is left to hand out."""

    code = "exhausted"
