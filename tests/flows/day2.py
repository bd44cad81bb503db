"""What is done with a machine that is in use."""

import hashlib
from contextlib import suppress

from requests import HTTPError

from tests.flows.day import FORBIDDEN, OF_ANEW, answers

ENDED = "reboot: Power down"
"""What a kernel says last, when its system has ended by itself."""


def runs(day):
    """A command of the site's list runs on the machine's own system; another is not even judged."""
    words = ("machines", "remote-task", day.machine)
    day.sprout(*words, "--command", "rm -rf /srv", status=FORBIDDEN)

    ended = day.asked(
        "remote-task", "--command", "uptime", "--approval-id", day.approved("remote-task")
    )

    (done,) = [each for each in day.sprout("action-executions", "list") if _of(each, ended)]

    def kept():
        pieces = day.sprout("action-executions", "evidence", done["id"])
        return [each["sha256"] for each in pieces if each["name"] == "remote-task-stdout.txt"]

    (sha256,) = day.yard.until(kept, "what it said")
    told = day.yard.up.call("GET", f"/v1/blobs/{sha256}").content
    assert hashlib.sha256(told).hexdigest() == sha256
    assert b"load average" in told


def _of(execution, flow):
    return execution["workflowId"] == flow["id"]


def reboots(day):
    before = day.booted()
    actions = {each["name"]: each for each in day.sprout("day2-actions", "list")}
    assert actions["reboot"]["requiresApproval"]
    day.sprout("machines", "reboot", day.machine, "--reason", "no word yet", status=FORBIDDEN)

    approval = day.approved("reboot")
    day.asked("reboot", "--approval-id", approval)

    assert day.booted(before)
    used = day.sprout("approvals", "show", approval)
    assert used["state"] == "used"
    day.sprout("machines", "reboot", day.machine, "--approval-id", approval, status=FORBIDDEN)


def reprovisions(day):
    """Its system is another one, of the profile that is named, at the same address and name."""
    made = day.told("touch /srv/of-the-first-system && ls /srv")
    assert made == "of-the-first-system"
    before, address = answers(day), day.address
    words = ("--profile-ref", "anew")
    day.sprout("machines", "reprovision", day.machine, *words, status=FORBIDDEN)

    day.asked("reprovision", *words, "--approval-id", day.approved("reprovision"))

    assert answers(day) != before
    assert day.address == address
    assert day.told("ls", "/srv") == "of-the-profile"
    assert day.told("cat", OF_ANEW) == "anew"


def heeds(day):
    """The button of its BMC is heeded: its system ends by itself, and nobody cuts it off."""
    before = day.unit.console().count(ENDED)
    day.boot = day.booted()

    def off():
        power = day.unit.bmc.power
        if power == "On":
            with suppress(HTTPError):  # it has just gone
                day.unit.bmc.reset("GracefulShutdown")
        return power == "Off"

    day.yard.until(off, "its system's end")
    assert day.unit.console().count(ENDED) == before + 1


def inserts(day):
    with day.yard.medium() as url:
        day.asked("image", "--media-url", url, "--boot-source", "virtual-media")
        assert day.unit.bmc.media() == [url]
        assert day.unit.bmc.boot["BootSourceOverrideTarget"] == "Cd"

        day.asked("image", "--eject")
        assert day.unit.bmc.media() == []


def powers_on(day):
    day.asked("boot-source", "--boot-source", "pxe")
    assert day.unit.bmc.boot["BootSourceOverrideTarget"] == "Pxe"

    day.asked("power-on")

    assert day.unit.bmc.power == "On"


def judges(day):
    decisions = day.sprout("policy-decisions", "list", "--machine-id", day.machine)
    reboots = [each for each in decisions if each["action"] == "reboot"]
    assert [each["allowed"] for each in reboots] == [False, True, False]

    done = day.sprout("action-executions", "list", "--machine-id", day.machine)
    assert {each["state"] for each in done} == {"succeeded"}
    assert {each["workflowId"] for each in done} == {each["id"] for each in day.workflows}
    day.sprout("action-executions", "evidence", done[0]["id"])
    events = day.sprout("workflows", "events", day.workflows[0]["id"])
    assert [each["kind"] for each in events][-1] in {"step-done", "state-moved", "phase-moved"}


def powers_off(day):
    """Switched on some steps before, it runs its own system, though it booted from the network."""
    assert day.booted(day.boot)

    day.asked("power-off")

    assert day.unit.bmc.power == "Off"
