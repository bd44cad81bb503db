"""The command list of Sprout, in the order of a machine's life: each line, and its effect outside.

Each step runs lines as they stand in the list, and looks at what they did past the product.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field

from tests.flows.yard import ADDRESS, CIDR, Yard, webhook

NAME = "node-01"
DOMAIN = "provisioning.sprout.local"
SIGNATURE = slice(510, 512)
GPT = slice(512, 520)
REFUSED, FORBIDDEN = 3, 4


@dataclass
class Day:
    """What one step learns and the next needs."""

    yard: Yard
    site: str = ""
    network: str = ""
    machine: str = ""
    stranger: str = ""
    workflows: list = field(default_factory=list)

    @property
    def unit(self):
        return self.yard.units[0]

    def sprout(self, *words, **more):
        return self.yard.sprout(*words, **more)

    def asked(self, verb, *words, state="succeeded"):
        """Ask for a verb on the machine, with a reason, and follow it to its end."""
        words = ("machines", verb, self.machine, *words, "--reason", f"{verb}, by hand")
        flow = self.sprout(*words)
        ended = self.yard.up.ended(flow["id"])
        assert ended["state"] == state, ended["detail"]
        self.workflows.append(ended)
        return ended

    def approved(self, action):
        said = ("--action", action, "--decision", "approved", "--reason", "kernel update")
        made = self.sprout("approvals", "create", "--machine-id", self.machine, *said)
        return made["id"]

    def boot_id(self):
        """Return the name of its boot, as its kernel has it; empty while it is away."""
        return self.yard.up.booted(NAME)


def sites(day):
    made = day.sprout("sites", "create", "--name", "Amsterdam 1", "--slug", "ams-1")
    day.site = made["id"]
    assert day.sprout("sites", "health", day.site)["status"] == "unserved"

    day.yard.serve(day.sprout("sites", "enrol", day.site))

    def live():
        return any(each["live"] for each in day.sprout("sites", "health", day.site)["agents"])

    day.yard.until(live, "the site's agent")


def networks(day):
    made = day.sprout(
        "networks", "create", "--site-id", day.site, "--name", "provisioning", "--cidr", CIDR,
        "--gateway", ADDRESS, "--dns", f"{ADDRESS},9.9.9.9", "--range-start", "10.78.0.10",
        "--range-end", "10.78.0.99", "--purpose", "provisioning", "--answer-rs",
    )  # fmt: skip
    day.network = made["id"]

    assert [each["id"] for each in day.sprout("networks", "list")] == [day.network]


def discovers(day):
    """A machine that nobody entered is switched on at its front."""
    stranger = day.yard.units[1]
    stranger.bmc.reset("On")

    def seen():
        found = day.sprout("discoveries", "list", "--site-id", day.site)
        return [each for each in found if each["mac"] == stranger.mac]

    (found,) = day.yard.until(seen, "the stranger's discovery")
    stranger.bmc.reset("ForceOff")
    made = day.sprout("discoveries", "accept", found["id"], "--bmc", stranger.entered)

    day.stranger = made["id"]
    assert made["interfaces"][0]["macAddress"] == stranger.mac
    assert day.sprout("discoveries", "list", "--site-id", day.site) == []


def machines(day):
    made = day.sprout(
        "machines", "create", "--site-id", day.site, "--hostname", NAME,
        "--architecture", "x86_64", "--label", "role=worker", "--bmc", day.unit.entered,
        "--root-disk", f"serial={day.unit.described['disk']['serial']}", "--interface",
        f"id=eth0,name=eth0,macAddress={day.unit.mac},pxeEnabled=true,networkName=provisioning",
    )  # fmt: skip

    day.machine = made["id"]
    assert (made["state"], day.unit.bmc.power) == ("registered", "Off")


def images(day):
    files, image = day.yard.image["files"], day.yard.image
    sums = [each for n in ("vmlinuz", "initrd.img", image["image"])
            for each in ("--checksum", f"{n}={files[n]['sha256']}")]  # fmt: skip
    day.sprout(
        "artifacts", "create", "--ref", "debian", "--name", "Debian 12", "--backend", "filesystem",
        "--base-url", "", "--prefix", "debian-12",
    )  # fmt: skip
    day.sprout(
        "images", "create", "--ref", "debian-12", "--name", "Debian 12", "--architecture", "x86_64",
        "--artifact-ref", "debian", "--kernel-path", image["kernel"], "--initrd-path",
        image["initrd"], "--image-path", image["image"], "--image-bytes",
        str(files[image["image"]]["size"]), *sums,
    )  # fmt: skip
    key = day.yard.key()
    template = "#cloud-config\nhostname: {{ hostname }}\n"
    day.sprout(
        "profiles", "create", "--ref", "base", "--name", "Base", "--ssh-key", f"@{key}",
        "--cloud-config-template", template,
    )  # fmt: skip


def commissions(day):
    day.asked("commission")

    found = day.sprout("machines", "show", day.machine)
    facts, lid = found["facts"], day.unit.described
    assert found["state"] == "available"
    assert facts["system"]["serial"] == lid["serial"]
    assert lid["disk"]["serial"] in {each["serial"] for each in facts["disks"]}
    assert lid["memory_mib"] == facts["memory_mib"]


def allocates(day):
    wanted = ("--label", "role=worker", "--architecture", "x86_64", "--min-memory-mib", "512")
    size = ("--min-disk-bytes", str(1 << 30))
    words = ("machines", "allocate", "--site-id", day.site, *wanted, *size)

    (got,) = day.sprout(*words, "--count", "1")

    assert (got["id"], got["state"]) == (day.machine, "allocated")
    day.sprout(*words, "--count", "1", status=REFUSED)


def provisions(day):
    assert not any(day.unit.disk())

    day.asked(
        "provision", "--image-ref", "debian-12", "--profile-ref", "base", "--network-id",
        day.network,
    )  # fmt: skip

    written = day.unit.disk()
    assert (written[SIGNATURE], written[GPT]) == (b"\x55\xaa", b"EFI PART")
    assert day.unit.bmc.power == "On"
    assert answers(day)


def answers(day):
    """Its address is the one that is listed, its name is told by DNS, and its sshd is its own."""
    (held,) = day.sprout("ip-allocations", "list", "--machine-id", day.machine)
    address = held["address"]
    told = day.yard.within("dig", "+short", f"@{ADDRESS}", f"{NAME}.{DOMAIN}", "A").split()
    keys = day.sprout("machines", "show", day.machine)["sshHostKeys"]
    shown = day.yard.within("ssh-keyscan", "-t", "ed25519", address).split()

    return told == [address] and " ".join(shown[1:3]) in {" ".join(k.split()[:2]) for k in keys}


def reboots(day):
    before = day.boot_id()
    actions = {each["name"]: each for each in day.sprout("day2-actions", "list")}
    assert actions["reboot"]["requiresApproval"]
    day.sprout("machines", "reboot", day.machine, "--reason", "no word yet", status=FORBIDDEN)

    approval = day.approved("reboot")
    day.asked("reboot", "--approval-id", approval)

    assert day.yard.until(lambda: day.boot_id() not in {None, before}, "its next boot")
    used = day.sprout("approvals", "show", approval)
    assert used["state"] == "used"
    day.sprout("machines", "reboot", day.machine, "--approval-id", approval, status=FORBIDDEN)


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


def powers(day):
    day.asked("power-off")
    assert day.unit.bmc.power == "Off"
    inserts(day)
    day.asked("boot-source", "--boot-source", "pxe")
    assert day.unit.bmc.boot["BootSourceOverrideTarget"] == "Pxe"
    day.asked("power-on")
    assert day.unit.bmc.power == "On"


def inserts(day):
    with day.yard.medium() as url:
        day.asked("image", "--media-url", url, "--boot-source", "virtual-media")
        assert day.unit.bmc.media() == [url]
        assert day.unit.bmc.boot["BootSourceOverrideTarget"] == "Cd"

        day.asked("image", "--eject")
        assert day.unit.bmc.media() == []


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
        "machine.provision", "machine.reboot", "machine.power-off", "machine.power-on",
        "machine.boot-source", "approval.create", "approval.use", "machine.release",
        "machine.wiped", "machine.retire",
    }  # fmt: skip
    assert "machine.reboot" in {each["action"] for each in rows if each["outcome"] == "refused"}

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


STEPS = (
    sites, networks, discovers, machines, images, commissions, allocates, provisions, runs,
    reboots, powers, judges, syncs,
    exports, releases, retires, audits,
)  # fmt: skip
