"""Metadata handed to webhooks and OpenMetadata: signed, repeated, and never to the wrong one."""

import hashlib
import hmac
import json
import socket

import pytest

from actors.control import integrations as doing
from models.commands import jobs
from models.commands.integrations import EXCERPT
from tests.actors.integration_lab import SECRET

pytestmark = pytest.mark.services


def signed(asked):
    told = dict(part.split("=") for part in asked.headers["x-sprout-signature"].split(","))
    text = told["t"].encode() + b"." + asked.body
    return hmac.compare_digest(
        told["v1"], hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    )


# --- webhook ---


def test_a_webhook_is_handed_the_sites_metadata_signed(world, partner):
    world.machines(3)

    run = world.run(world.job("webhook", "/hook"))

    assert (run.state, run.records) == ("succeeded", 3)
    assert run.detail == "3 machines were handed over in 1 parts, signed"
    [asked] = partner.asked
    assert (asked.method, asked.path, asked.headers["content-type"]) == (
        "POST",
        "/hook",
        "application/json",
    )
    assert signed(asked)
    body = json.loads(asked.body)
    assert (body["site"]["slug"], body["last"]) == ("ams-1", True)
    assert sorted(m["hostname"] for m in body["machines"]) == ["node-0", "node-1", "node-2"]
    assert "authorization" not in asked.headers


def test_no_export_tells_how_a_bmc_is_logged_into(world, partner):
    world.machines(1)

    world.run(world.job("webhook"))

    assert b"env:X" not in partner.asked[0].body
    assert b"127.0.0.1:1" not in partner.asked[0].body


def test_a_part_that_is_refused_for_now_is_handed_over_again_under_its_key(world, partner):
    partner.answers += [(503, {}, b"back soon"), (429, {"Retry-After": "0"}, b"slower")]
    job = world.job("webhook")

    run = world.run(job)

    assert run.state == "succeeded"
    assert world.tries(job, run) == [(1, 1, 503), (1, 2, 429), (1, 3, 200)]
    assert len({each.headers["idempotency-key"] for each in partner.asked}) == 1
    assert all(map(signed, partner.asked))


def test_a_no_is_final_and_told_with_its_words(world, partner):
    partner.answers.append((422, {}, b"no such hook \x1b[31m" + SECRET.encode() + b"x" * 9000))
    job = world.job("webhook")

    run = world.run(job)

    assert (run.state, len(partner.asked)) == ("failed", 1)
    assert run.detail.startswith("POST part 1: 127.0.0.1 answers 422 no such hook")
    [tried] = jobs.deliveries(job, run.id)
    assert len(tried.excerpt) <= EXCERPT
    assert SECRET not in tried.excerpt + run.detail
    assert "\x1b" not in tried.excerpt


def test_it_is_given_up_after_some_tries(world, partner):
    partner.answers += [(500, {}, b"")] * doing.TRIES
    job = world.job("webhook")

    run = world.run(job)

    assert (run.state, run.detail) == (
        "failed",
        f"POST part 1: 127.0.0.1 answers 500, {doing.TRIES} times",
    )
    assert len(world.tries(job, run)) == doing.TRIES


def test_a_partner_that_is_away_is_tried_again(world, partner):
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}/"
    job = world.job("webhook", endpoint=endpoint)

    run = world.run(job)

    assert run.state == "failed"
    assert "cannot be reached" in run.detail
    assert world.tries(job, run) == [(1, n + 1, 0) for n in range(doing.TRIES)]


def test_without_a_secret_it_says_that_nothing_is_signed(world, partner):
    run = world.run(world.job("webhook", secret=None))

    assert run.detail.endswith("not signed: the job has no secretRef")
    assert "x-sprout-signature" not in partner.asked[0].headers


@pytest.mark.parametrize("secret", ["env:GONE", "vault:kv/x#y"])
@pytest.mark.parametrize("provider", ["webhook", "openmetadata", "http"])
def test_a_secret_that_cannot_be_had_fails_closed(world, partner, provider, secret):
    run = world.run(world.job(provider, secret=secret))

    assert (run.state, partner.asked) == ("failed", [])
    assert secret in run.detail


def test_a_dry_run_of_an_export_sends_nothing(world, partner):
    world.machines(2)

    run = world.run(world.job("webhook"), dry_run=True)

    assert (run.state, run.records, partner.asked) == ("succeeded", 2, [])
    assert run.detail == "2 machines would be handed over in 1 parts, signed"


@pytest.mark.parametrize("provider", ["webhook", "openmetadata", "http"])
@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest", "http://127.0.0.2/", "http://169.254.1.1/", "file:///etc"],
)
def test_no_redirect_leads_to_where_nothing_may_be_asked(world, partner, provider, target):
    partner.answers += [(307, {"Location": target}, b"")] * 2

    run = world.run(world.job(provider))

    assert (run.state, len(partner.asked)) == ("failed", 1)


@pytest.mark.parametrize("provider", ["webhook", "openmetadata", "http"])
@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254/", "http://[::1]:1/", "http://10.0.0.1/", "http://0/"]
)
def test_what_is_not_public_is_asked_only_where_it_is_allowed(world, provider, endpoint):
    world.allow = ()

    run = world.run(world.job(provider, endpoint=endpoint))

    assert run.state == "failed"
    assert "metadata service" in run.detail or "no public address" in run.detail


@pytest.mark.parametrize("provider", ["webhook", "openmetadata", "http"])
def test_a_name_that_comes_to_mean_another_address_is_judged_each_time(
    world, partner, provider, monkeypatch
):
    answers = [("127.0.0.1", 503), ("169.254.169.254", 0)]
    port = int(partner.url.rpartition(":")[2])

    resolve = socket.getaddrinfo

    def rebinding(host, *more, **how):
        if host != "partner.example":
            return resolve(host, *more, **how)
        address = answers.pop(0)[0] if answers else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    partner.answers.append((503, {}, b""))
    job = world.job(provider, endpoint=f"http://partner.example:{port}/")
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    run = world.run(job)

    assert (run.state, len(partner.asked)) == ("failed", 1)
    assert "is a metadata service" in run.detail


# --- OpenMetadata ---


def test_a_site_and_its_machines_are_put_as_openmetadata_has_them(world, partner):
    world.machines(2)

    run = world.run(world.job("openmetadata", "/api"))

    assert run.detail == "2 machines were put as containers of the storage service sprout-ams-1"
    assert set(partner.entities) == {
        "sprout-ams-1",
        "sprout-ams-1.node-0",
        "sprout-ams-1.node-1",
    }
    assert "52:54:00:00:02:00" in partner.entities["sprout-ams-1.node-0"]["description"]


def test_what_is_there_is_brought_up_to_date(world, partner):
    job = world.job("openmetadata")

    first, second = world.run(job), world.run(job)

    assert [world.tries(job, run)[0][2] for run in (first, second)] == [201, 200]


def test_openmetadata_says_no_to_a_wrong_token(world, partner):
    partner.token = "another"

    run = world.run(world.job("openmetadata"))

    assert run.state == "failed"
    assert "answers 401" in run.detail
