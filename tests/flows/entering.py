"""From the first site to a machine that runs what was chosen for it."""

from tests.flows.day import BOOT_CODE, GPT, NAME, OF_ANEW, REFUSED, SIGNATURE, answers
from tests.flows.yard import ADDRESS, CIDR


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
        "--dhcp-mode", "proxy",
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
    more = f"{template}write_files:\n- path: {OF_ANEW}\n  content: anew\n"
    for ref, text in {"base": template, "anew": more}.items():
        day.sprout(
            "profiles", "create", "--ref", ref, "--name", ref.title(), "--ssh-key", f"@{key}",
            "--cloud-config-template", text,
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
    assert day.yard.leases.reserved() == {}

    day.asked(
        "provision", "--image-ref", "debian-12", "--profile-ref", "base", "--network-id",
        day.network,
    )  # fmt: skip

    written = day.unit.disk()
    assert (written[SIGNATURE], written[GPT]) == (b"\x55\xaa", b"EFI PART")
    assert written[BOOT_CODE] == day.yard.written(BOOT_CODE)
    assert day.unit.bmc.power == "On"
    assert answers(day)
