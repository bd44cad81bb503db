"""The authorization code flow; the one owner of flask-oidc.

What flask-oidc leaves open is closed here: PKCE with S256, its calls to the issuer, what its errors
repeat.  `edge.people` decides where the browser goes afterwards, and whose word counts.
"""

from functools import partial
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask
from flask.typing import ResponseReturnValue
from flask_oidc import OpenIDConnect, views
from joserfc.errors import JoseError
from werkzeug.exceptions import HTTPException

from edge import outbound
from edge.doors import Client
from edge.errors import IssuerAway, LoginFailed, Refusal
from edge.people import FLOW, Flow


def install(app: Flask, client: Client, public_url: str) -> None:
    """Have people log in to *app* by *client*, which has a secret."""
    named = {"client_id": client.client_id, "client_secret": client.secret}
    app.config.update(
        OIDC_CLIENT_SECRETS={"web": named | {"issuer": client.issuer}},
        OIDC_SCOPES=client.scopes,
        OIDC_INTROSPECTION_AUTH_METHOD="client_secret_basic",
        OIDC_OVERWRITE_REDIRECT_URI=f"{public_url}/authorize",
        # Neither its routes nor its judgement of each request: both are ours.
        OIDC_RESOURCE_SERVER_ONLY=True,
        OIDC_USER_CLASS="",
    )
    registered = OpenIDConnect(app).oauth.oidc
    registered.client_kwargs["code_challenge_method"] = "S256"
    registered.client_cls = _line(client.issuer)
    app.extensions[FLOW] = Flow(
        login=partial(_asked, views.login_view), authorize=partial(_asked, views.authorize_view)
    )


def _asked(view: Any) -> ResponseReturnValue:
    """Return the answer of flask-oidc's *view*.  Raises LoginFailed, and IssuerAway."""
    try:
        answer: ResponseReturnValue = view()
    except Refusal:
        raise
    except requests.RequestException:
        raise IssuerAway("the issuer cannot be reached, or makes no sense") from None
    except (AuthlibBaseError, JoseError, HTTPException, ValueError, KeyError, TypeError) as exc:
        # Not its own words: they may repeat what anybody put into the URL.
        raise LoginFailed(f"the log-in was not accepted ({type(exc).__name__})") from None
    return answer


def _line(issuer: str) -> type[OAuth2Session]:
    class Line(OAuth2Session):  # type: ignore[misc] # no stubs
        """Speaks to the issuer by our rules."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            outbound.guard(self, issuer)

    return Line
