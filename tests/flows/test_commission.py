"""A machine that takes inventory of itself: what it tells is the hardware that it was given."""

import hashlib
import json

import pytest

from tests.flows.stage import LIMIT_S, Running, prepared

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 3)]

MIB = 1 << 20


def by_image(machine):
    return "image" in (machine["facts"].get("seen") or {})


def cancelled(running):
    """End the provisioning that follows by itself, give back what it took; return the machine."""
    machine = running.until(lambda each: each["state"] == "provisioning")
    running.call("POST", f"/v1/workflows/{machine['workflow']['id']}/cancel", {})
    running.until(lambda each: each["state"] == "failed")
    assert running.ask(machine["id"], "release", wipe="none")["state"] == "succeeded"
    return running.machine()


def names(rows):
    return {each["name"] for each in rows}


def digest(path):
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_machine_is_commissioned_by_what_it_finds_and_failed_for_what_it_lacks(
    tmp_path, image_cache, firmware
):
    data = prepared(tmp_path, image_cache)
    running = Running(data, firmware=firmware, words=("--inventory", "image"))
    try:
        machine = running.until(by_image)
        rack = json.loads((data / f"rack-{firmware}" / "rack.json").read_text())
        check_report(machine["facts"], rack["machines"][0], firmware)
        assert [d for d in machine["differences"] if d["severity"] != "info"] == []

        check_what_it_lacks(running, data / f"rack-{firmware}", cancelled(running))
    finally:
        running.stop()


def check_report(facts, given, firmware):
    """See that the report is the hardware of the rack's record."""
    [disk] = facts["disks"]
    assert (disk["serial"], disk["bytes"]) == (given["disk"]["serial"], given["disk"]["bytes"])
    assert disk["transport"] == "nvme"
    [nic] = facts["nics"]
    assert (nic["mac"], nic["driver"], nic["link"]) == (given["mac"], "virtio_net", "up")
    assert facts["system"]["serial"] == given["serial"]
    assert facts["system"]["uuid"] == given["uuid"]
    assert facts["memory_mib"] == given["memory_mib"]
    assert facts["firmware"]["boot"] == firmware
    assert {(test["name"], test["outcome"]) for test in facts["tests"]} == {
        ("cpu", "pass"),
        ("memory", "pass"),
        ("disk-read", "pass"),
        ("smart", "pass"),
    }


def check_what_it_lacks(running, rack, machine):
    """See a machine fail that has less memory than was entered, and its disk as it was."""
    [disk] = rack.glob("**/disk.raw")
    before = digest(disk)
    changes = {"version": machine["version"], "memoryMib": 64 * 1024}
    assert running.call("PATCH", f"/v1/machines/{machine['id']}", changes).status_code == 200

    ended = running.ask(machine["id"], "commission", inventory="image")

    failed = running.machine()
    assert (ended["state"], failed["state"]) == ("failed", "failed")
    assert "memoryMib: 65536 was entered" in ended["detail"]
    assert ended["detail"] in running.sprout("why", machine["hostname"]).stdout
    assert failed["differences"][0]["severity"] == "critical"
    assert "critical: memoryMib" in running.sprout("machines", "show", machine["hostname"]).stdout
    assert digest(disk) == before
    path = f"/v1/machines/{machine['id']}/evidence?workflowId={ended['id']}"
    running.until(lambda _: "hardware-report-record.json" in names(running.get(path)["items"]))
