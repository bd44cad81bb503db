"""Builds the edge from its parts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Flask
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.openapi import OpenAPI

from edge import (
    access,
    auth,
    events,
    exchange,
    health,
    metrics,
    people,
    problems,
    sign_in,
    waiting,
    workloads,
)
from edge.api import (
    action_executions,
    api_tokens,
    approvals,
    artifacts,
    audit,
    blobs,
    boot_plane,
    day2_actions,
    dead_letters,
    discoveries,
    domain_events,
    evidence,
    host_events,
    hosts,
    image_preparations,
    images,
    integration_jobs,
    ip_allocations,
    jobs,
    machine_verbs,
    machines,
    networks,
    policy_decisions,
    profiles,
    sign_in_codes,
    sites,
    specification,
    told_pages,
    workflows,
)
from edge.api.document import SECURITY, Problem, problem_responses
from edge.blobs import Shelf
from edge.doors import Client, Doors
from edge.pages import contents

MAX_BODY: Final = 1 << 20
"""Bytes of the largest body that is read."""

CONTRACT: Final = "0.1.0"
"""Version of the contract in /v1/openapi.json."""

API: Final[tuple[APIBlueprint, ...]] = (
    sites.api,
    networks.api,
    artifacts.api,
    blobs.api,
    images.api,
    image_preparations.api,
    profiles.api,
    machines.api,
    machine_verbs.api,
    hosts.api,
    boot_plane.api,
    host_events.api,
    told_pages.api,
    day2_actions.api,
    approvals.api,
    action_executions.api,
    policy_decisions.api,
    discoveries.api,
    workflows.api,
    evidence.api,
    ip_allocations.api,
    jobs.sync,
    integration_jobs.api,
    audit.api,
    domain_events.api,
    dead_letters.api,
    sign_in_codes.api,
    api_tokens.api,
)
"""Resources of /v1 and /api, in the order of the contract."""

PAGES: Final[tuple[Blueprint, ...]] = (
    health.blueprint,
    sign_in.blueprint,
    specification.blueprint,
    people.blueprint,
    events.blueprint,
)
"""What is no resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What the edge is told by its entry point.

    Attributes:
        public_url: where browsers, sites and the CLI reach the edge, without a last slash.
        allowed_hosts: names that the Host header may hold; an IPv6 address in brackets.
        admin_token_hash: SHA-256 (hex) of the admin's token; empty: every route refuses.
        client: the edge as its OpenID Connect issuer knows it; None: there is no issuer.
        admin_password_hash: of the local admin's password; empty: there is none.
        session_key: what sessions of browsers are known by; empty: no browser is let in.
        broker: URL of the broker as sites reach it; empty: none is there for them.
        accounts: whether each site has an account of its own there, which control makes.
        database_url: where those who wait for events listen.
        events_socket: where the events process takes connections.
        blob_dir: where blobs lie.
        artifact_dir: where the files of images lie, which are blobs too.
        agents_url: where agents reach their own listener, by mutual TLS; empty: there is none.
        trust_domain: SPIFFE trust domain of agents.
        site: id or slug of the site that new hosts are at; empty: the only one.
    """

    public_url: str
    allowed_hosts: tuple[str, ...]
    admin_token_hash: str = field(default="", repr=False)
    client: Client | None = None
    admin_password_hash: str = field(default="", repr=False)
    session_key: str = field(default="", repr=False)
    broker: str = field(default="", repr=False)
    accounts: bool = False
    database_url: str = field(default="", repr=False)
    events_socket: Path
    blob_dir: Path
    artifact_dir: Path
    agents_url: str = ""
    trust_domain: str = ""
    site: str = ""

    @property
    def sites_url(self) -> str:
        """Return where sites reach the edge."""
        return self.agents_url or self.public_url


def create_app(config: EdgeConfig) -> OpenAPI:
    """Return the WSGI application; it opens no connection until it is asked something."""
    app = OpenAPI(
        "edge",
        info=Info(title="Sprout", version=CONTRACT, description="Bare metal, told as it is."),
        security_schemes=dict(SECURITY),
        validation_error_model=Problem,
        doc_ui=False,
    )
    app.openapi_version = "3.1.0"
    app.extensions["sprout"] = config
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["SESSION_COOKIE_SECURE"] = config.public_url.startswith("https://")
    exchange.install(app, frozenset(name.lower() for name in config.allowed_hosts))
    if config.agents_url:
        workloads.keep_out(app, config.agents_url)
    doors = Doors(
        token_hash=config.admin_token_hash,
        password_hash=config.admin_password_hash,
        session_key=config.session_key,
        issuer="" if config.client is None else config.client.issuer,
    )
    if config.client is None:
        auth.install(app, doors)
    else:
        _with_issuer(app, doors, config.client, config.public_url)
    problems.install(app)
    metrics.Metrics(app, config.events_socket)
    for resource in API:
        app.register_api(resource)
    for blueprint in PAGES:
        app.register_blueprint(blueprint)
    contents.install(app)
    app.extensions[health.LATEST] = health.Latest()
    app.extensions["sprout-waiting"] = waiting.Ringer(config.database_url)
    app.extensions[blobs.EXTENSION] = blobs.Store(Shelf(config.blob_dir, config.artifact_dir))
    app.components.responses = dict(problem_responses())
    if bare := access.unguarded(app.view_functions):
        raise LookupError(f"anybody could ask these endpoints: {', '.join(bare)}")
    return app


def _with_issuer(app: Flask, doors: Doors, client: Client, public_url: str) -> None:
    from edge import code_flow, issuer  # noqa: PLC0415 - large, and many do without

    auth.install(app, doors, issuer.Issuer(client))
    if client.secret:
        code_flow.install(app, client, public_url)


def create_agents_app(config: EdgeConfig) -> OpenAPI:
    """Return what agents are served behind mutual TLS: blobs, and who they are."""
    app = OpenAPI("agents", doc_ui=False, static_folder=None)
    app.extensions["sprout"] = config
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    hosts = {*config.allowed_hosts, exchange.host_name(urlsplit(config.agents_url).netloc)}
    exchange.install(app, frozenset(name.lower() for name in hosts))
    workloads.install(app, config.trust_domain)
    problems.install(app)
    app.register_api(blobs.api)
    app.register_blueprint(workloads.blueprint)
    app.extensions[blobs.EXTENSION] = blobs.Store(Shelf(config.blob_dir, config.artifact_dir))
    return app
