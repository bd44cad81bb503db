"""The agents' listener as `python -m edge.agents` runs it, and each kind of certificate at it."""

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from actors.drivers.edge_line import Edge
from actors.site.upload import Unwanted, Upload
from edge.app import create_agents_app, create_app
from models.audit import Caller
from models.blobs import ANY, place
from models.bootplan import File
from models.commands import blobs as rights
from models.commands import inventory
from models.database import borrowed
from models.tables import Audit
from models.workloads import Workload
from tests.conftest import copied
from tests.edge import make
from tests.edge.conftest import ROOT, TOKEN, Api, config, variables
from tests.services import certificates, process
from tests.services.certificates import LATER, LONG_AGO, TOMORROW, YESTERDAY
from tests.services.changes import awaited

pytestmark = pytest.mark.services

HOST = "127.0.0.1"
DOMAIN = "sprout.local"
AGENT = UUID("a9e70000-0000-4000-8000-00000000000a")
BLOB = b"artifact" * 100_000
SUM = hashlib.sha256(BLOB).hexdigest()


@dataclass
class Listener:
    """A running listener; *ours* signed its certificate, *site* is in its database."""

    port: int
    process: subprocess.Popen
    log: Path
    ours: certificates.Authority
    site: UUID

    def agent(self, name="agent", *, site=None, **more):
        """Return the client context of an agent of our site, or of *site*."""
        return self.ours.issue(name, workload(site or self.site), **more).client()

    def ask(self, context, path="/v1/workload", method="GET", body=None, **headers):
        """Return status, headers and body of the answer."""
        line = http.client.HTTPSConnection(HOST, self.port, context=context, timeout=60)
        with closing(line):
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()

    def lines(self, event):
        found = [json.loads(each) for each in self.log.read_text().splitlines() if each[0] == "{"]
        return [line for line in found if line["event"] == event]

    def _lines_from(self, offset):
        text = self.log.read_text()[offset:]
        return text.splitlines() if text.endswith("\n") else []

    def refused(self, attempt):
        """Return the one line that the listener wrote about *attempt*, which came to nothing."""
        before = len(self.log.read_text())
        with pytest.raises((OSError, http.client.HTTPException)):
            attempt()
        said = awaited(self.log.parent, lambda: self._lines_from(before))
        [line] = map(json.loads, said)
        assert (line["event"], line["peer"]) == ("agents.handshake-failed", HOST)
        return line["why"]


def workload(site, agent=AGENT, domain=DOMAIN):
    return Workload(domain, site, agent).uri


@pytest.fixture(scope="module")
def listener(postgres, migrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agents")
    ours = certificates.authority(folder / "ours")
    with copied(postgres, migrated) as url, borrowed():
        site = inventory.create_site(Caller(name="test"), name="Home", slug="home", labels={})
        [port] = process.free_ports(1)
        env = variables(url, folder) | certificates.variables(ours.issue("edge", hosts=[HOST]))
        env |= {"SPROUT_AGENT_BIND": f"{HOST}:{port}", "SPROUT_BLOB_DIR": str(folder / "blobs")}
        command = [sys.executable, "-m", "edge.agents"]
        started = process.launch(command, folder / "log", env=env, cwd=folder)
        made = Listener(port, started, folder / "log", ours, site)
        good = made.agent("probe")
        try:
            process.wait_until_ready(started, lambda: made.ask(good), made.log, seconds=60)
            keep(folder / "blobs")
            yield made
        finally:
            process.stop(started, how=signal.SIGTERM)


def keep(folder):
    location = folder / place(SUM)
    location.parent.mkdir(parents=True)
    location.write_bytes(BLOB)


def readable(site):
    """Return the URL by which *site* may read the blob."""
    file = File(role="image", path="x", sha256=SUM, size=len(BLOB))
    with borrowed():
        return rights.links([file], site, datetime.now(UTC))[SUM]


def writable(site, sha256):
    with borrowed():
        return rights.upload(uuid4(), site, datetime.now(UTC)).replace(ANY, sha256)


def problem(answer):
    status, headers, body = answer
    assert headers["Content-Type"] == "application/problem+json"
    return status, json.loads(body)["type"]


REFUSED = (403, "/problems/workload-refused")


# --- whose certificate is believed ---


def test_a_good_certificate_says_who_its_bearer_is(listener):
    status, _, body = listener.ask(listener.agent())

    assert status == 200
    assert json.loads(body) == {
        "spiffeId": f"spiffe://{DOMAIN}/site/{listener.site}/agent/{AGENT}",
        "trustDomain": DOMAIN,
        "siteId": str(listener.site),
        "agentId": str(AGENT),
    }


def test_whoever_shows_no_certificate_is_refused(listener):
    nobody = ssl.create_default_context(cafile=listener.ours.file)

    why = listener.refused(lambda: listener.ask(nobody))

    assert why == "peer did not return a certificate"


def test_a_foreign_authority_is_refused(listener, tmp_path):
    foreign = certificates.authority(tmp_path / "foreign", name="foreign")
    made = foreign.issue("agent", workload(listener.site))
    context = ssl.create_default_context(cafile=listener.ours.file)
    context.load_cert_chain(made.cert, made.key)

    why = listener.refused(lambda: listener.ask(context))

    assert why == "the certificate is refused: unable to get local issuer certificate"


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [
        (LONG_AGO, YESTERDAY, "certificate has expired"),
        (TOMORROW, LATER, "certificate is not yet valid"),
    ],
    ids=["expired", "not-yet-valid"],
)
def test_a_certificate_out_of_its_time_is_refused(listener, begins, ends, why):
    agent = listener.agent(begins=begins, ends=ends)

    assert listener.refused(lambda: listener.ask(agent)) == f"the certificate is refused: {why}"


def test_http_without_tls_is_refused(listener):
    line = http.client.HTTPConnection(HOST, listener.port, timeout=60)

    with closing(line):
        why = listener.refused(lambda: line.request("GET", "/v1/workload") or line.getresponse())

    assert why == "http request"


def test_a_peer_that_stalls_in_its_handshake_is_left(listener):
    def stall():
        with socket.create_connection((HOST, listener.port), timeout=60) as line:
            line.sendall(b"\x16\x03\x01")
            if line.recv(1) == b"":
                raise ConnectionResetError

    assert listener.refused(stall) == "no handshake within 5 s"


@pytest.mark.parametrize(
    "names",
    [
        lambda site: [workload(site, domain="other.local")],
        lambda site: [workload(site), workload(site, uuid4())],
        lambda site: [workload(site), "https://example.org/"],
        lambda site: [],
        lambda site: [f"{workload(site)}/more"],
        lambda site: [f"spiffe://{DOMAIN}/site/home/agent/{AGENT}"],
    ],
    ids=["domain", "two-spiffe", "two-uris", "none", "longer", "slug"],
)
def test_a_certificate_that_is_no_agent_s_of_ours_is_refused_and_written_down(listener, names):
    odd = listener.ours.issue("odd", *names(listener.site)).client()

    assert problem(listener.ask(odd)) == REFUSED
    assert last_audit() == ("anonymous", "workloads.show", "refused", "workload-refused")


def test_an_authority_s_own_certificate_is_no_agent_s(listener):
    signer = listener.agent("signer", signs=True)

    assert problem(listener.ask(signer)) == REFUSED


def last_audit():
    row = Audit.select().order_by(Audit.id.desc()).get()
    return row.actor, row.action, row.outcome, row.data["code"]


# --- what an agent may ask for ---


def test_an_agent_reads_a_blob_that_its_site_may_read(listener):
    status, _, body = listener.ask(listener.agent(), readable(listener.site))

    assert (status, body) == (200, BLOB)


def test_an_agent_resumes_a_blob(listener):
    answer = listener.ask(listener.agent(), readable(listener.site), Range="bytes=799990-")

    assert (answer[0], answer[2]) == (206, BLOB[-10:])


def test_an_agent_uploads_by_the_right_of_its_site(listener):
    body = os.urandom(200_000)
    sha256 = hashlib.sha256(body).hexdigest()

    status, _, _ = listener.ask(
        listener.agent(), writable(listener.site, sha256), method="PUT", body=body
    )

    assert status == 201


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_the_right_of_another_site_is_refused_and_written_down(listener, method):
    other = uuid4()
    url = readable(listener.site) if method == "GET" else writable(listener.site, SUM)
    action = {"GET": "blob.read", "PUT": "blob.put"}[method]

    answer = listener.ask(listener.agent("stranger", site=other), url, method=method)

    assert problem(answer) == REFUSED
    assert last_audit() == (workload(other), action, "refused", "workload-refused")


@pytest.mark.parametrize("query", ["", "?g=x", "?g="])
def test_a_blob_without_a_right_is_refused_to_an_operator_s_token_too(listener, query):
    answer = listener.ask(
        listener.agent(), f"/v1/blobs/{SUM}{query}", Authorization=f"Bearer {TOKEN}"
    )

    assert problem(answer) == (403, "/problems/right-refused")


@pytest.mark.parametrize("path", ["/", "/v1/sites", "/v1/audit", "/metrics", "/v1/openapi.json"])
def test_nothing_of_the_operators_is_served(listener, path):
    answer = listener.ask(listener.agent(), path, Authorization=f"Bearer {TOKEN}")

    assert problem(answer) == (404, "/problems/not-found")


def test_the_routes_of_agents_are_few():
    rules = {str(rule) for rule in create_agents_app(config()).url_map.iter_rules()}

    assert rules == {"/v1/workload", "/v1/blobs/<sha256>", "/problems/<code>"}


def test_a_site_brings_up_evidence_by_its_certificate_and_with_no_other(listener, tmp_path):
    body = os.urandom(100_000)
    path, digest = tmp_path / "evidence", hashlib.sha256(body).hexdigest()
    path.write_bytes(body)
    with borrowed():
        url = rights.upload(uuid4(), listener.site, datetime.now(UTC))

    def bring(context):
        line = Edge(f"https://{HOST}:{listener.port}", lambda: context)
        with path.open("rb", buffering=0) as content:
            Upload(line, url, digest, len(body), content, threading.Event()).run()

    with pytest.raises(Unwanted, match="403"):
        bring(listener.agent("stranger", site=uuid4()))
    assert listener.ask(listener.agent(), url.replace(ANY, digest), "HEAD")[0] == 404
    bring(listener.agent())
    assert listener.ask(listener.agent(), url.replace(ANY, digest), "HEAD")[0] == 200


# --- the operators' listener beside it ---


def beside(**more):
    return Api(create_app(config(agents_url="https://edge.example.org:8443", **more)))


def test_beside_an_agents_listener_a_right_from_the_network_is_refused(database_url):
    api = beside()

    answer = api.get(readable(uuid4()), environ_overrides={"REMOTE_ADDR": "192.0.2.7"})

    assert (answer.status_code, answer.json["type"]) == REFUSED
    assert answer.json["errors"][0]["hint"] == "Ask https://edge.example.org:8443."


def test_beside_an_agents_listener_this_machine_s_own_site_and_operators_are_served(
    database_url, tmp_path
):
    keep(tmp_path)
    api = beside(blob_dir=tmp_path)
    there = {"REMOTE_ADDR": "192.0.2.7"}

    assert api.get(readable(uuid4())).data == BLOB
    assert api.get(f"/v1/blobs/{SUM}", environ_overrides=there).data == BLOB


def test_sites_are_enrolled_at_the_agents_listener(database_url):
    api = beside(accounts=True)
    site = api.made("/v1/sites", make.site())

    told = api.post(f"/v1/sites/{site['id']}/enrol").json

    assert told["edge"] == "https://edge.example.org:8443"


# --- at the start ---


def ended(env, folder):
    done = subprocess.run(
        [sys.executable, "-m", "edge.agents"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stderr


def test_without_tls_there_is_no_listener_for_agents(tmp_path):
    status, said = ended({}, tmp_path)

    assert (status, said.partition(":")[0]) == (2, "SPROUT_TLS_ENABLED")


def test_a_key_that_is_open_to_others_is_refused_at_the_start(tmp_path):
    made = certificates.authority(tmp_path / "ours").issue("edge")
    made.key.chmod(0o644)

    status, said = ended(certificates.variables(made), tmp_path)

    assert (status, said) == (
        2,
        f"SPROUT_TLS_KEY_FILE: {made.key} is open to others: `chmod 600 {made.key}`\n",
    )
