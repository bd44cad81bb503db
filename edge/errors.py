"""Every way the edge says no, and the only place where HTTP statuses of errors stand.

CATALOGUE is total: each code of `models.errors` and of the refusals below has a row, and each row
is documented at /problems/<code>.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus as S
from types import MappingProxyType
from typing import ClassVar, Final

from models.errors import DomainError


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A documented kind of error: what it means, and what a caller does about it."""

    status: S
    title: str
    remedy: str


CATALOGUE: Final[Mapping[str, ProblemType]] = MappingProxyType(
    {
        # What the domain says (models.errors).
        "domain": ProblemType(S.CONFLICT, "Refused", "Read the detail and its hint."),
        "invalid": ProblemType(
            S.UNPROCESSABLE_ENTITY,
            "A value can never be right",
            "Correct the field that `pointer` names; its hint says how it is written.",
        ),
        "not-found": ProblemType(
            S.NOT_FOUND, "There is no such thing", "List the collection to see what there is."
        ),
        "unknown-reference": ProblemType(
            S.UNPROCESSABLE_ENTITY,
            "A reference in the body names nothing",
            "Create what is referred to first, or correct the reference.",
        ),
        "taken": ProblemType(
            S.CONFLICT,
            "It belongs to somebody else",
            "Choose another name, MAC or network, or use the record that has it.",
        ),
        "illegal-transition": ProblemType(
            S.CONFLICT,
            "The state does not allow this",
            "Look at the resource's state; the hint says what can be asked from there.",
        ),
        "stale": ProblemType(
            S.CONFLICT,
            "It was changed since you read it",
            "Read it again, and repeat what you want of it with its version.",
        ),
        "precondition-failed": ProblemType(
            S.PRECONDITION_FAILED,
            "It is no longer what If-Match says",
            "Read it again, and repeat what you want of it with its ETag.",
        ),
        "precondition-required": ProblemType(
            S.PRECONDITION_REQUIRED,
            "It is not said what is to be changed",
            "Read it, and send If-Match with its ETag, or `version` in the body.",
        ),
        "idempotency-mismatch": ProblemType(
            S.UNPROCESSABLE_ENTITY,
            "The Idempotency-Key belongs to another request",
            "Choose a new key for each thing that you want done.",
        ),
        "answer-not-kept": ProblemType(
            S.CONFLICT,
            "It was done, and the answer is not kept",
            "The answer held a secret. Ask with a new Idempotency-Key for a new one.",
        ),
        "in-use": ProblemType(
            S.CONFLICT,
            "Something else depends on it",
            "Take it away from what the detail names, then ask again.",
        ),
        "not-ready": ProblemType(
            S.CONFLICT,
            "Something that the verb needs is missing",
            "Do what the hint says, then ask again.",
        ),
        "denied": ProblemType(
            S.FORBIDDEN, "The rules forbid it", "Ask somebody who may, or have the rule changed."
        ),
        "policy-denied": ProblemType(
            S.FORBIDDEN,
            "The policy in force forbids it",
            "The hint says what would change that; `sprout policy-decisions show` shows all.",
        ),
        "approval-needed": ProblemType(
            S.FORBIDDEN,
            "It needs an approval",
            "Have it approved with `sprout approvals create`, and name the approval.",
        ),
        "approval-unfit": ProblemType(
            S.FORBIDDEN,
            "The approval is not good for this",
            "An approval is for one action on one machine, good once, and expires: make another.",
        ),
        "exhausted": ProblemType(
            S.CONFLICT, "Nothing is left to hand out", "Release what is not used, or add more."
        ),
        "right-refused": ProblemType(
            S.FORBIDDEN,
            "The URL of this blob was not signed for this request",
            "Use the URL as control sent it, or `Authorization: Bearer TOKEN`.",
        ),
        "right-expired": ProblemType(
            S.FORBIDDEN,
            "The URL of this blob has run out",
            "Register again: control then sends URLs that are new.",
        ),
        "workload-refused": ProblemType(
            S.FORBIDDEN,
            "The certificate is not of the agent that may ask for this",
            "`sprout site --identity` prints the SPIFFE URI that an agent's certificate must name; "
            "a URL is for agents of the site that it was signed for.",
        ),
        # What the edge says before the domain is asked.
        "malformed": ProblemType(
            S.BAD_REQUEST, "The request cannot be read", "Send well-formed JSON in UTF-8."
        ),
        "validation": ProblemType(
            S.UNPROCESSABLE_ENTITY,
            "The request does not have the documented form",
            "Correct every field in `errors`; the form is in /v1/openapi.json.",
        ),
        "unauthenticated": ProblemType(
            S.UNAUTHORIZED,
            "Sign in first",
            "Send `Authorization: Bearer TOKEN`, or sign in by the URL of `sprout login-url`.",
        ),
        "login-failed": ProblemType(
            S.UNAUTHORIZED,
            "The log-in came to nothing",
            "Start again at /sign-in.",
        ),
        "issuer-away": ProblemType(
            S.SERVICE_UNAVAILABLE,
            "Who you are cannot be asked now",
            "Ask again after a while; /readyz says more, and `sprout login-url` goes without.",
        ),
        "too-many-attempts": ProblemType(
            S.TOO_MANY_REQUESTS,
            "Too many passwords were tried",
            "Wait for Retry-After seconds; nothing was looked at.",
        ),
        "csrf": ProblemType(
            S.FORBIDDEN,
            "The request did not come from our own page",
            "Load the page again and send its token as X-CSRF-Token.",
        ),
        "wrong-host": ProblemType(
            S.MISDIRECTED_REQUEST,
            "This name is not ours",
            "Use a name of SPROUT_ALLOWED_HOSTS, or add this one to it.",
        ),
        "method-not-allowed": ProblemType(
            S.METHOD_NOT_ALLOWED,
            "The resource has no such method",
            "Use a method of the Allow header.",
        ),
        "not-acceptable": ProblemType(
            S.NOT_ACCEPTABLE, "No such form is served", "Accept application/json."
        ),
        "too-large": ProblemType(
            S.REQUEST_ENTITY_TOO_LARGE, "The body is too large", "Send at most 1 MiB."
        ),
        "unsupported-media-type": ProblemType(
            S.UNSUPPORTED_MEDIA_TYPE,
            "The body is not JSON",
            "Send JSON with `Content-Type: application/json`.",
        ),
        "length-required": ProblemType(
            S.LENGTH_REQUIRED,
            "The length of a blob must be known before it comes",
            "Send Content-Length, and no chunked encoding.",
        ),
        "range": ProblemType(
            S.REQUESTED_RANGE_NOT_SATISFIABLE,
            "The range lies outside the blob",
            "Content-Range says how many bytes it has.",
        ),
        "blob-gap": ProblemType(
            S.CONFLICT,
            "Bytes before these are missing",
            "Go on at the Upload-Offset of the answer.",
        ),
        "blob-mismatch": ProblemType(
            S.UNPROCESSABLE_ENTITY,
            "The bytes are not what their SHA-256 says",
            "What was uploaded is dropped: upload it again from the start, or mend the URL.",
        ),
        "blob-too-large": ProblemType(
            S.REQUEST_ENTITY_TOO_LARGE,
            "The blob is larger than was granted",
            "Upload less: the detail says how much may be.",
        ),
        "disk-full": ProblemType(
            S.INSUFFICIENT_STORAGE,
            "The disk of the edge is full",
            "Make room under SPROUT_BLOB_DIR, then go on at Upload-Offset.",
        ),
        "busy": ProblemType(
            S.SERVICE_UNAVAILABLE,
            "Too many blobs are being moved",
            "Ask again after Retry-After seconds.",
        ),
        "no-stream": ProblemType(
            S.SERVICE_UNAVAILABLE,
            "No stream can be opened now",
            "Ask for what you need from time to time, and for a stream again after Retry-After "
            "seconds; /readyz says whether the events process runs.",
        ),
        "unavailable": ProblemType(
            S.SERVICE_UNAVAILABLE,
            "The database cannot be reached",
            "Nothing was changed. Ask again after Retry-After seconds; /readyz says more.",
        ),
        "internal": ProblemType(
            S.INTERNAL_SERVER_ERROR,
            "The edge failed",
            "Report the requestId: the log line with the same id says what happened.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place of the request: *pointer* is a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str
    hint: str = ""


class Refusal(Exception):
    """The edge refuses before the domain is asked."""

    code: ClassVar[str] = "malformed"

    def __init__(
        self, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


class Malformed(Refusal):
    """The body is no JSON."""


class Unreadable(Refusal):
    """The body is JSON of another form than documented."""

    code = "validation"


class PreconditionFailed(Refusal):
    """What If-Match names is not what is there."""

    code = "precondition-failed"


class PreconditionMissing(Refusal):
    """An update names no version."""

    code = "precondition-required"


class NotJson(Refusal):
    """The body says that it is something else than JSON."""

    code = "unsupported-media-type"


class Unauthenticated(Refusal):
    """No token, no session, or one that is not ours."""

    code = "unauthenticated"


class Forged(Refusal):
    """A signed-in browser was made to ask by somebody else's page."""

    code = "csrf"


class LoginFailed(Refusal):
    """The issuer let nobody in, or its word is not good."""

    code = "login-failed"


class IssuerAway(Refusal):
    """The issuer cannot be asked who somebody is."""

    code = "issuer-away"


class TooManyAttempts(Refusal):
    """Passwords are tried faster than any person mistypes."""

    code = "too-many-attempts"


class WrongHost(Refusal):
    """The Host header names a server that we are not."""

    code = "wrong-host"


class NoLength(Refusal):
    """A blob comes without Content-Length."""

    code = "length-required"


class NoBlob(Refusal):
    """No blob of this SHA-256 is here."""

    code = "not-found"


class OutsideBlob(Refusal):
    """A range that the blob does not have."""

    code = "range"


class Gap(Refusal):
    """A part of a blob that does not join what came before."""

    code = "blob-gap"


class Mismatch(Refusal):
    """An upload that is whole and has another SHA-256."""

    code = "blob-mismatch"


class BlobTooLarge(Refusal):
    """A blob of more bytes than may be uploaded."""

    code = "blob-too-large"


class DiskFull(Refusal):
    """No room is left for an upload; what had come is kept."""

    code = "disk-full"


class Busy(Refusal):
    """As many blobs are on their way as the edge has threads for."""

    code = "busy"


class NoStream(Refusal):
    """The events process takes no stream: there are too many, or it does not run."""

    code = "no-stream"


BY_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        S.BAD_REQUEST: "malformed",
        S.NOT_FOUND: "not-found",
        S.METHOD_NOT_ALLOWED: "method-not-allowed",
        S.NOT_ACCEPTABLE: "not-acceptable",
        S.REQUEST_ENTITY_TOO_LARGE: "too-large",
        S.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    }
)
"""The code of an error that the web framework raised by itself."""


def status_of(error: type[DomainError | Refusal]) -> S:
    """Return the status of an error of the domain or of the edge."""
    return CATALOGUE[error.code].status
