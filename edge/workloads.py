"""Agents at the edge: who a peer is by its certificate, and what it may ask for.

Rule 1: on the agents' listener every request is judged before anything else sees it.
Rule 2: a right that stands in a URL is for agents of the site that it names, and on that
        listener there is nothing to ask for without one.
"""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from flask import Blueprint, Flask, g, jsonify, request
from flask.typing import ResponseReturnValue

from edge import auth
from models import workloads
from models.blobs import QUERY, RightRefused
from models.commands import blobs as rights
from models.database import borrowed
from models.workloads import Workload, WorkloadRefused

blueprint: Final = Blueprint("workloads", __name__)


def install(app: Flask, trust_domain: str) -> None:
    """Have every request of *app* judged by its peer's certificate."""
    # Imported here: cryptography is large, and only this listener speaks TLS.
    names_of = importlib.import_module("config.tls").names_of
    app.before_request(partial(_judge, trust_domain, names_of))


def keep_out(app: Flask, agents_url: str) -> None:
    """Have *app*, which asks for no certificate, serve no right that comes from a network."""
    app.before_request(partial(_send_elsewhere, agents_url))


@blueprint.get("/v1/workload")
def show() -> ResponseReturnValue:
    """Say who the peer is."""
    peer: Workload = g.peer
    return jsonify(
        spiffeId=peer.uri,
        trustDomain=peer.trust_domain,
        siteId=str(peer.site),
        agentId=str(peer.agent),
    )


def _judge(trust_domain: str, names_of: Callable[[bytes], tuple[str, ...]]) -> None:
    # gunicorn's own name of the connection; mutual TLS was spoken on it, or it would not be here.
    certificate = request.environ["gunicorn.socket"].getpeercert(binary_form=True)
    peer = workloads.of(names_of(certificate), trust_domain)
    g.peer = peer
    g.operator = auth.Operator(peer.uri, auth.Way.CERTIFICATE)
    if request.endpoint in auth.BY_RIGHT:
        _answer_for(peer)


def _answer_for(peer: Workload) -> None:
    """Return if the right in the URL is of the peer's site.  Raises RightRefused and others."""
    text = request.args.get(QUERY)
    if text is None:
        raise RightRefused("the URL holds no signature")
    named = str((request.view_args or {}).get("sha256"))
    with borrowed():
        found = rights.right(text, method=request.method, sha256=named, now=datetime.now(UTC))
    peer.answer_for(found.site)


def _send_elsewhere(agents_url: str) -> None:
    by_right = request.endpoint in auth.BY_RIGHT and QUERY in request.args
    if by_right and not auth.from_loopback():
        raise WorkloadRefused(
            "whoever asks by a right in the URL shows a certificate", hint=f"Ask {agents_url}."
        )
