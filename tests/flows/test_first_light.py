"""One active machine: what can be done with it, and what is refused with its reason."""

import pytest

from tests.flows.stage import LIMIT_S, Running, prepared

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 2)]

NAME = "bios-r1"


@pytest.fixture(scope="module")
def running(tmp_path_factory, image_cache):
    """The product with its machine active; the tests below leave it active."""
    started = Running(prepared(tmp_path_factory.mktemp("flow"), image_cache))
    started.until(lambda machine: machine["state"] == "active")
    yield started
    started.stop()


def image(running, ref, **changes):
    """Record the rack's image again, with *changes*."""
    known = running.get("/v1/images")["items"][0]
    names = (
        "name",
        "architecture",
        "artifactRef",
        "kernelPath",
        "initrdPath",
        "imagePath",
        "imageBytes",
        "checksums",
        "kernelArgs",
    )
    body = {name: known[name] for name in names} | {"ref": ref} | changes
    answer = running.call("POST", "/v1/images", body)
    assert answer.status_code == 201, answer.text


def test_a_shell_is_opened_by_the_host_key_that_phoned_home(running):
    done = running.sprout("ssh", NAME, "hostname")

    assert (done.returncode, done.stdout.strip()) == (0, NAME), done.stderr


def test_why_says_that_nothing_is_waited_for(running):
    assert "waits for nothing: it is active" in running.sprout("why", NAME).stdout


def test_the_timeline_has_rows_of_every_stage(running):
    kinds = {row["kind"] for row in running.get(f"/v1/machines/{NAME}/timeline?limit=500")["items"]}

    assert kinds >= {
        "asked", "state-moved", "plan-served", "bmc-call", "dhcp-offered", "dhcp-acked",
        "script-served", "artifact-served", "install-started", "install-progress", "seed-served",
        "installed", "phoned-home", "phase-moved",
    }  # fmt: skip


def test_a_wrong_checksum_fails_the_run_before_the_machine_is_touched_and_a_retry_works(running):
    before = running.machine()
    path = "debian-12.raw"
    sums = running.get("/v1/images")["items"][0]["checksums"]
    image(running, "spoilt", checksums=sums | {path: "0" * 64})

    ended = running.ask(NAME, "provision", imageRef="spoilt", profileRef="rack")

    failed = running.machine()
    assert ended["state"] == "failed"
    assert path in ended["detail"]
    assert failed["state"] == failed["phase"] == "failed"
    assert failed["power"] == before["power"] == "on"
    assert ended["detail"] in running.sprout("why", NAME).stdout
    assert _again(running)["state"] == "succeeded"


def _again(running):
    good = next(i["ref"] for i in running.get("/v1/images")["items"] if i["ref"] != "spoilt")
    return running.ask(NAME, "provision", imageRef=good, profileRef="rack")


def test_a_missing_artifact_is_named(running):
    sums = running.get("/v1/images")["items"][0]["checksums"]
    image(running, "lost", kernelPath="nowhere", checksums=sums | {"nowhere": "0" * 64})

    ended = running.ask(NAME, "provision", imageRef="lost", profileRef="rack")

    assert ended["state"] == "failed"
    assert "nowhere" in ended["detail"]
    assert _again(running)["state"] == "succeeded"


def test_a_bmc_that_refuses_fails_with_its_reason_and_leaves_the_machine_as_it_was(running):
    known = running.machine()
    body = {
        "siteId": known["siteId"],
        "hostname": "stranger",
        "architecture": "x86_64",
        "interfaces": [{"name": "eth0", "macAddress": "52:54:00:99:99:99", "pxeEnabled": True}],
        "bmc": {
            "address": known["bmc"]["address"],
            "username": "nobody",
            "secretRef": known["bmc"]["secretRef"],
        },
    }
    made = running.call("POST", "/v1/machines", body).json()["id"]

    ended = running.ask(made, "commission")

    assert ended["state"] == "failed"
    assert ended["detail"].startswith("inventory:")
    assert running.machine()["power"] == "on"
