"""What is told to others, and how a machine goes."""

import hashlib
import hmac
import json

from tests.flows.day import DOMAIN, GPT, NAME, SIGNATURE
from tests.flows.webhooks import webhook
from tests.flows.yard import ADDRESS


def syncs(day):
    """What an artifact has is brought to the site, each file with its own SHA-256."""
    made = day.sprout("sync-jobs", "create", "--site-id", day.site, "--artifact-ref", "debian",
                      "--mode", "preseed")  # fmt: skip

    def ended():
        (found,) = [j for j in day.sprout("sync-jobs", "list", "--site-id", day.site)
                    if j["id"] == made["id"]]  # fmt: skip
        return found if found["state"] not in {"waiting", "running"} else None

    found = day.yard.until(ended, "the sync job's end")
    assert (found["state"], found["filesDone"]) == ("succeeded", found["filesTotal"]), found
    wanted = {day.yard.image["files"][name]["sha256"] for name in ("vmlinuz", "initrd.img")}
    assert wanted <= day.yard.held()


def exports(day):
    """A webhook is handed the site's machines, signed by what its reference leads to."""
    with webhook() as hook:
        made = day.sprout(
            "integration-jobs", "create", "--name", "export", "--site-id", day.site, "--kind",
            "metadata-export", "--provider", "webhook", "--endpoint", hook.url,
            "--secret-ref", "env:WEBHOOK",
        )  # fmt: skip
        day.sprout("integration-jobs", "run", made["id"])
        headers, body = day.yard.until(hook.heard, "the webhook's call")

    told = dict(each.split("=", 1) for each in headers["X-Sprout-Signature"].split(","))
    key, signed = day.yard.WEBHOOK.encode(), f"{told['t']}.".encode() + body
    assert hmac.new(key, signed, hashlib.sha256).hexdigest() == told["v1"]
    assert NAME in {each["hostname"] for each in json.loads(body)["machines"]}


def releases(day):
    day.asked("release", "--approval-id", day.approved("release"))

    left = day.unit.disk()
    assert (left[SIGNATURE], left[GPT]) != (b"\x55\xaa", b"EFI PART")
    assert day.unit.bmc.power == "Off"
    assert not any(day.unit.disk())

    def freed():
        held = day.sprout("ip-allocations", "list", "--machine-id", day.machine)
        return {each["state"] for each in held} == {"released"}

    day.yard.until(freed, "its address to be free")
    assert day.yard.leases.reserved() == {}
    name = f"{NAME}.{DOMAIN}"
    day.yard.until(
        lambda: not day.yard.within("dig", "+short", f"@{ADDRESS}", name, "A").split(),
        "its name to be forgotten",
    )


def retires(day):
    day.asked("retire")

    assert day.sprout("machines", "show", day.machine)["state"] == "retired"
    assert day.unit.bmc.power == "Off"


def audits(day):
    rows = day.sprout("audit", "list", "--limit", "500")
    done = {each["action"] for each in rows if each["outcome"] == "done"}
    assert done >= {
        "site.create", "network.create", "artifact.create", "image.create", "profile.create",
        "machine.create", "discovery.accept", "machine.commission", "machine.allocate",
        "machine.provision", "machine.reboot", "machine.power-off",
        "machine.power-on", "machine.boot-source", "machine.image", "machine.remote-task",
        "approval.create", "approval.use", "sync-job.create", "integration-job.create",
        "integration-job.run", "machine.release", "machine.wiped", "machine.retire",
    }  # fmt: skip
    refused = {each["action"] for each in rows if each["outcome"] == "refused"}
    assert refused >= {"machine.reboot", "machine.reprovision", "machine.remote-task"}
    installed = [each for each in rows if each["action"] == "machine.provision"]
    assert {each["data"]["from"] for each in installed} == {"allocated", "active"}

    def sealed():
        found = day.sprout("audit", "verify")
        return found if not found["unsealed"] else None

    found = day.yard.until(sealed, "the audit to be sealed")
    assert found["faults"] == []
    assert recomputed(day) == found["lastHash"]


def recomputed(day):
    """Return the chain's last hash, of an export and by no code of the product."""
    export = day.yard.folder / "audit.jsonl"
    assert day.yard.up.sprout("audit", "export", str(export)).returncode == 0
    told = [json.loads(line) for line in export.read_text().splitlines()]
    rows = {each["record"]["id"]: each["record"] for each in told if "record" in each}
    last = "0" * 64
    for seal in (each["seal"] for each in told if "seal" in each):
        lines = [json.dumps(rows[n], sort_keys=True, separators=(",", ":")) for n in seal["ids"]]
        last = hashlib.sha256("\n".join([last, *lines]).encode()).hexdigest()
        assert last == seal["hash"]
    return last
