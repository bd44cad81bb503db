"""One-time codes that let the admin's browser in."""

import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from flask import Response, current_app
from pydantic import ConfigDict

from edge import auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, example
from edge.sign_in import code_hash
from models.commands import sign_in

api: Final = resource("sign-in codes", "One-time URLs for browsers.")

LIFE: Final = timedelta(minutes=15)


class SignInCode(Answer):
    """A URL that lets one browser in, once."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "url": "http://127.0.0.1:8080/sign-in?code=example",
                "expiresAt": "2025-06-01T12:15:00Z",
            }
        )
    )

    url: str
    expires_at: datetime


@operation(
    api,
    "post",
    "/v1/sign-in-codes",
    "createSignInCode",
    answer=SignInCode,
    status=HTTPStatus.CREATED,
    action="sign-in-code.create",
    secret=True,
)
def create() -> Response:
    """Make a URL that lets one browser in, once, within 15 minutes."""
    code = secrets.token_urlsafe(32)
    expires_at = datetime.now(UTC) + LIFE
    ends = auth.operator().proof.until
    until = None if ends is None else datetime.fromtimestamp(ends, UTC)
    sign_in.issue(auth.caller(), code_hash(code), expires_at=expires_at, until=until)
    url = f"{current_app.extensions['sprout'].public_url}/sign-in?code={code}"
    return answered(SignInCode(url=url, expires_at=expires_at), HTTPStatus.CREATED)
