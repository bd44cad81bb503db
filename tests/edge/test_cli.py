"""The command line against a running edge: results on stdout, all else on stderr."""

import json
import subprocess
import sys
from itertools import count
from uuid import UUID

import pytest

from actors.site import enrolment
from models import queries
from models.commands import seals, walks
from models.database import borrowed
from models.observations import Seen
from models.tables import Machine
from tests.conftest import copied
from tests.edge.conftest import ROOT, TOKEN, serving, variables
from tests.edge.make import MAC
from tests.models import make as domain
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

RUN = "import sys; sys.argv[0] = 'sprout'; from edge.cli.main import run; run()"
SHA = "0" * 64

SITE = ("sites", "create", "--name", "Amsterdam", "--slug", "ams-1")
NETWORK = (
    *("networks", "create", "--site-id", "ams-1", "--name", "provisioning"),
    *("--cidr", "10.77.0.0/24", "--gateway", "10.77.0.1", "--dns", "10.77.0.1,9.9.9.9"),
    *("--range-start", "10.77.0.10", "--range-end", "10.77.0.99", "--purpose", "provisioning"),
)
ARTIFACT = (
    *("artifacts", "create", "--ref", "debian", "--name", "Debian", "--backend", "filesystem"),
    *("--base-url", "http://10.77.0.1:8081", "--prefix", "debian-12"),
)
IMAGE = (
    *("images", "create", "--ref", "debian-12", "--name", "Debian 12", "--architecture", "x86_64"),
    *("--artifact-ref", "debian", "--kernel-path", "vmlinuz", "--initrd-path", "initrd.img"),
    *("--image-path", "disk.raw", "--image-bytes", "4096", "--checksum", f"vmlinuz={SHA}"),
    *("--checksum", f"initrd.img={SHA}", "--checksum", f"disk.raw={SHA}"),
)
PROFILE = (
    *("profiles", "create", "--ref", "plain", "--name", "Plain"),
    *("--cloud-config-template", "#cloud-config\nhostname: {{ hostname }}\n"),
)
MACHINE = (
    *("machines", "create", "--site-id", "ams-1", "--hostname", "node-01"),
    *("--architecture", "x86_64"),
    *("--interface", f"id=nic-1,name=eth0,macAddress={MAC},pxeEnabled=true,networkName=p"),
    *("--bmc", "address=http://127.0.0.1:1,username=admin,secretRef=env:BMC,verifyTls=false"),
    *("--root-disk", "serial=S1,minBytes=4096", "--label", "role=worker"),
)
NUMBERS = count(1)
INVENTORY = (SITE, NETWORK, ARTIFACT, IMAGE, PROFILE, MACHINE)


@pytest.fixture(scope="module")
def served(postgres, migrated, tmp_path_factory):
    """One edge for all of these: they make what they need under names of their own."""
    folder = tmp_path_factory.mktemp("edge")
    with copied(postgres, migrated) as url, serving(variables(url, folder), folder) as edge:
        yield edge


@pytest.fixture(scope="module")
def sprout(served, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    given = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "SPROUT_API_URL": served.url,
        "SPROUT_API_TOKEN": TOKEN,
    }

    def run(*words, **more):
        return subprocess.run(
            [sys.executable, "-c", RUN, *words],
            env=given | more,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    run.given = given
    return run


@pytest.fixture(scope="module")
def inventory(sprout):
    for words in INVENTORY:
        done = sprout(*words)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def asked(inventory):
    """A machine of its own, at a site with a live agent."""
    number = next(NUMBERS)
    with borrowed():
        site = queries.site("ams-1").id
        domain.Agent(site)
        nic = domain.interface(mac=f"52:54:00:00:01:{number:02x}")
        domain.machine(site, hostname=f"asked-{number}", interfaces=[nic])
    return f"asked-{number}"


def test_a_machine_is_registered_line_by_line(sprout, inventory):
    machine = json.loads(sprout("machines", "show", "node-01", "--json").stdout)

    (nic,) = machine["interfaces"]
    assert (nic["name"], nic["macAddress"], nic["pxeEnabled"]) == ("eth0", MAC, True)
    assert machine["bmc"]["secretRef"] == "env:BMC"
    assert machine["bmc"]["verifyTls"] is False
    assert machine["rootDisk"] == {"serial": "S1", "wwn": "", "minBytes": 4096}
    assert machine["labels"] == {"role": "worker"}


def test_an_image_of_an_installer_is_recorded_with_its_iso(sprout, inventory):
    words = (
        *("images", "create", "--ref", "ubuntu", "--name", "Ubuntu", "--architecture", "x86_64"),
        *("--artifact-ref", "debian", "--kernel-path", "vmlinuz", "--initrd-path", "initrd"),
        *("--installer", "autoinstall", "--iso-path", "live.iso", "--image-bytes", "5"),
        *("--initrd-bytes", "6", "--older-media", "--checksum", f"vmlinuz={SHA}"),
        *("--checksum", f"initrd={SHA}", "--checksum", f"live.iso={SHA}"),
    )

    made = sprout(*words)
    changed = sprout("images", "update", "ubuntu", "--no-older-media", "--initrd-bytes", "7")

    assert (made.returncode, changed.returncode) == (0, 0), made.stderr + changed.stderr
    image = json.loads(sprout("images", "show", "ubuntu", "--json").stdout)
    assert (image["installer"], image["isoPath"]) == ("autoinstall", "live.iso")
    assert (image["imageBytes"], image["initrdBytes"], image["olderMedia"]) == (5, 7, False)


def test_creating_prints_the_id_alone(sprout):
    done = sprout(*SITE[:-1], "drs-1")

    assert str(UUID(done.stdout.strip())) == done.stdout.strip()
    assert "created site" in done.stderr


CHANGES = {
    "sites": ("s-9", ("--name", "Nine", "--label", "tier=1"), {"name": "Nine"}),
    "artifacts": (
        "a-9",
        ("--prefix", "nine", "--base-url", "-"),
        {"prefix": "nine", "baseUrl": ""},
    ),
    "images": ("i-9", ("--kernel-arg", "quiet"), {"kernelArgs": ["quiet"]}),
    "profiles": ("p-9", ("--ssh-key", "-", "--name", "P9"), {"sshKeys": [], "name": "P9"}),
}
NEW = {
    "sites": (*SITE[:-1], "s-9"),
    "artifacts": ("artifacts", "create", "--ref", "a-9", "--name", "A", "--prefix", "a"),
    "images": (*(word.replace("debian-12", "i-9") for word in IMAGE[:14]),),
    "profiles": ("profiles", "create", "--ref", "p-9", "--name", "P", "--ssh-key", "ssh-rsa x"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_entered_is_changed_and_deleted(sprout, inventory, kind):
    name, words, expected = CHANGES[kind]
    made = sprout(*NEW[kind])

    nothing, changed = sprout(kind, "update", name), sprout(kind, "update", name, *words)

    assert (made.returncode, changed.returncode) == (0, 0), made.stderr + changed.stderr
    assert "is at version 2" in changed.stderr
    assert nothing.returncode == 1
    assert f"sprout {kind} update --help" in nothing.stderr
    found = json.loads(sprout(kind, "show", name, "-o", "json").stdout)
    assert expected.items() <= found.items()
    assert sprout(kind, "delete", name).returncode == 0
    assert sprout(kind, "show", name).returncode == 3


def test_a_network_is_deleted_by_its_name(sprout, inventory):
    made = sprout(*ELSEWHERE, "--name", "short-lived")

    assert made.returncode == 0, made.stderr
    assert sprout("networks", "delete", "short-lived").returncode == 0
    assert "no network is called" in sprout("networks", "show", "short-lived").stderr


ELSEWHERE = (
    *("networks", "create", "--site-id", "ams-1", "--cidr", "10.79.0.0/24", "--purpose", "tenant"),
    *("--range-start", "10.79.0.10", "--range-end", "10.79.0.99"),
)


def test_a_network_is_made_with_what_dhcp_is_to_answer_and_changed_word_by_word(sprout, inventory):
    made = sprout(
        *(*ELSEWHERE, "--name", "rack-9", "--dhcp-mode", "full", "--pool-start", "10.79.0.100"),
        *("--pool-end", "10.79.0.199", "--search", "a.example,b.example", "--lease-s", "600"),
        *("--route", "10.9.0.0/16=10.79.0.2", "--answer-rs", "--gateway", "10.79.0.1"),
        *("--loader", "uefi-x64=shimx64.efi", "--loader", "bios=ipxe.pxe"),
    )
    changed = sprout(
        *("networks", "update", "rack-9", "--dhcp-mode", "reserved", "--gateway", "-"),
        *("--search", "-", "--no-answer-rs", "--ntp", "10.79.0.3"),
        *("--loader", "uefi-x64=snponly.efi"),
    )

    assert (made.returncode, changed.returncode) == (0, 0), made.stderr + changed.stderr
    found = json.loads(sprout("networks", "show", "rack-9", "--json").stdout)
    assert found["id"] == made.stdout.strip()
    assert found["routes"] == [{"to": "10.9.0.0/16", "via": "10.79.0.2"}]
    assert (found["leaseS"], found["dhcpMode"], found["version"]) == (600, "reserved", 2)
    assert (found["gateway"], found["search"], found["answerRs"]) == (None, [], False)
    assert found["ntp"] == ["10.79.0.3"]
    assert found["loaders"] == {"uefi-x64": "snponly.efi"}
    assert "10.79.0.100-10.79.0.199" in sprout("networks", "list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("update", "nowhere", "--lease-s", "60"), "no network is called nowhere"),
        (("update", "provisioning", "--dhcp-mode", "full"), "the network has none"),
        (("update", "provisioning", "--route", "10.9.0.0/16"), "want NETWORK=VIA"),
        (("update", "provisioning", "--name", "-"), "/name"),
        ((*ELSEWHERE[1:], "--name", "x", "--dhcp-mode", "wild"), "'full', 'reserved'"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_what_to_do(sprout, inventory, words, said):
    done = sprout("networks", *words)

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stranger_is_listed_and_accepted_or_ignored(sprout, inventory):
    strangers = {"52:54:00:99:00:01": "7", "52:54:00:99:00:02": "8"}
    with borrowed():
        teller = Teller(domain.Agent(queries.site("ams-1").id))
        teller.tell(*map(sighting, strangers))

    rows = json.loads(sprout("discoveries", "list", "--site-id", "ams-1", "--json").stdout)
    ids = {row["mac"]: row["id"] for row in rows}
    first, second = (ids[mac] for mac in strangers)
    accepted = sprout(
        *("discoveries", "accept", first, "--hostname", "found-7", "--label", "rack=7"),
        *("--bmc", "address=http://127.0.0.1:1,secretRef=env:BMC", "--root-disk", "serial=S7"),
    )
    ignored = sprout("discoveries", "ignore", second, "--reason", "a visitor")

    assert (accepted.returncode, ignored.returncode) == (0, 0), accepted.stderr + ignored.stderr
    machine = json.loads(sprout("machines", "show", "found-7", "--json").stdout)
    assert (machine["id"], machine["labels"]) == (accepted.stdout.strip(), {"rack": "7"})
    assert "none yet" in sprout("discoveries", "list").stderr
    shown = sprout("discoveries", "list", "--state", "ignored").stdout
    assert "52:54:00:99:00:02" in shown
    assert second in sprout("discoveries", "show", second).stdout


def test_the_audit_is_verified_against_the_edge_and_against_an_export(sprout, inventory, tmp_path):
    file = tmp_path / "audit.jsonl"
    with borrowed():
        while seals.seal_next():
            pass

    live, written = sprout("audit", "verify", "--json"), sprout("audit", "export", str(file))
    file.write_text(file.read_text().replace('"actor": "admin"', '"actor": "mallory"', 1))
    forged = sprout("audit", "verify", "--file", str(file))

    assert (live.returncode, written.returncode, forged.returncode) == (0, 0, 1)
    assert json.loads(live.stdout)["faults"] == []
    assert "was changed" in forged.stdout


def test_the_health_of_a_site_names_what_its_canary_met(sprout):
    site = UUID(sprout(*SITE[:-1], "cgn-1").stdout.strip())
    finding = {
        "client": "all",
        "what": "servers",
        "level": "warning",
        "detail": "odd",
    }
    with borrowed():
        agent = domain.Agent(site)
        agent.report(Seen.SITE_CHECKED, None, data={"findings": [finding], "foreign": []})

    shown = sprout("sites", "health", "cgn-1").stdout

    assert "healthy" in shown
    assert "1 odd" in shown
    assert shown.splitlines()[-1].split() == [
        "boot-01",
        "all",
        "servers",
        "warning",
        "odd",
    ]


def test_the_health_of_a_site_says_of_each_agent_what_it_serves_and_has_told(sprout):
    site = UUID(sprout(*SITE[:-1], "haj-1").stdout.strip())
    with borrowed():
        domain.Agent(site)

    shown = sprout("sites", "health", "haj-1").stdout

    assert "machines  none" in shown
    *_, heads, row = shown.splitlines()
    assert heads.split()[:3] == ["AGENT", "IS", "SEEN"]
    assert row.split()[:2] == ["boot-01", "live"]


@pytest.mark.parametrize(
    "words",
    [
        ("sites", "list"),
        ("sites", "health", "ams-1"),
        ("networks", "list", "--site-id", "ams-1"),
        ("artifacts", "list"),
        ("images", "list"),
        ("profiles", "list"),
        ("machines", "list", "--site-id", "ams-1", "--state", "registered", "--search", "node"),
        ("machines", "timeline", "node-01"),
        ("workflows", "list", "--machine-id", "node-01"),
        ("ip-allocations", "list", "--machine-id", "node-01"),
        ("audit", "list", "--machine-id", "node-01", "--limit", "5"),
        ("audit", "list", "--actor", "admin", "--action", "site.create", "--outcome", "done"),
        ("workflows", "list", "--site-id", "ams-1", "--state", "running", "--kind", "commission"),
        ("machines", "list", "--label", "role=worker", "--architecture", "x86_64"),
        ("approvals", "list", "--open"),
        ("policy-decisions", "list", "--refused"),
        ("dead-letters", "list", "--waiting"),
        ("day2-actions", "list", "--site-id", "ams-1"),
        ("sync-jobs", "list", "--mode", "preseed"),
        ("integration-jobs", "list", "--kind", "metadata-export"),
        ("images", "show", "debian-12"),
        ("whoami",),
        ("why", "node-01"),
    ],
    ids=" ".join,
)
def test_what_can_be_looked_at_can_be_read_by_programs_and_people(sprout, inventory, words):
    shown, told = sprout(*words), sprout(*words, "--json")

    assert (shown.returncode, told.returncode) == (0, 0)
    json.loads(told.stdout)
    assert shown.stdout != told.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("commission", "--reason", "new"),
        ("provision", "--image-ref", "debian-12", "--profile-ref", "plain"),
        (
            *("provision", "--image-ref", "debian-12", "--profile-ref", "plain"),
            *("--network-id", "provisioning"),
        ),
        ("power-on", "--reason", "new"),
        ("power-off",),
        ("boot-source", "--boot-source", "none"),
        ("boot-source", "--boot-source", "http", "--http-boot-uri", "http://boot.example/x.efi"),
        ("image", "--eject"),
    ],
    ids=" ".join,
)
def test_a_verb_prints_its_workflow_and_how_to_follow_it(sprout, asked, words):
    verb, *options = words

    done = sprout("machines", verb, asked, *options)

    assert done.returncode == 0, done.stderr
    flow = json.loads(sprout("workflows", "show", done.stdout.strip(), "--json").stdout)
    assert (flow["kind"], flow["state"]) == (verb, "running")
    assert done.stdout.strip() in done.stderr


def test_waiting_ends_with_the_workflow_and_its_reason(sprout, asked):
    flow = sprout("machines", "commission", asked).stdout.strip()

    assert sprout("workflows", "cancel", flow, "--reason", "wrong one").returncode == 0
    done = sprout("workflows", "events", flow, "--follow")

    assert done.returncode == 1
    assert "wrong one" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_person_is_asked_for_is_confirmed_by_the_name_of_the_step(sprout, asked):
    with borrowed():
        Machine.update(bmc=None).where(Machine.hostname == asked).execute()
    flow = sprout("machines", "power-off", asked).stdout.strip()
    early = sprout("workflows", "confirm", flow)
    with borrowed():
        walks.advance(UUID(flow), domain.render)

    wrong = sprout("workflows", "confirm", flow, "--step", "power-on")
    done = sprout("workflows", "confirm", flow, "--reason", "pulled the plug")

    assert (early.returncode, wrong.returncode, done.returncode) == (3, 3, 0), done.stderr
    assert "switch it off, and confirm it" in wrong.stderr
    assert "confirmed power-off" in done.stderr


def test_an_enrolment_is_the_file_that_a_site_reads(sprout, inventory, tmp_path):
    path = tmp_path / "enrolment.json"
    path.write_text(sprout("sites", "enrol", "ams-1").stdout)
    path.chmod(0o600)

    assert enrolment.read(path).slug == "ams-1"


def test_a_login_url_lets_a_browser_in(sprout, served):
    url = sprout("login-url").stdout.strip()

    assert url.startswith(f"{served.url}/sign-in?code=")


def test_the_contract_is_printed(sprout):
    assert json.loads(sprout("openapi").stdout)["openapi"] == "3.1.0"


def test_the_token_that_up_kept_is_found(sprout, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secrets.json").write_text(json.dumps({"admin_token": TOKEN}))
    more = {"SPROUT_API_TOKEN": "", "SPROUT_DATA_DIR": str(tmp_path / "data")}

    assert sprout("sites", "list", **more).returncode == 0


WRONG = {
    "refused": (("sites", "show", "nowhere"), {}, 3, "sprout sites list"),
    "bad field": (
        (*SITE[:-1], "AMS"),
        {},
        3,
        "/slug Use lower-case letters",
    ),
    "no token": (("sites", "list"), {"SPROUT_API_TOKEN": ""}, 4, "SPROUT_API_TOKEN"),
    "wrong token": (("sites", "list"), {"SPROUT_API_TOKEN": "x"}, 4, "SPROUT_API_TOKEN"),
    "away": (("sites", "list"), {"SPROUT_API_URL": "http://127.0.0.1:1"}, 5, "sprout up"),
    "bad settings": (("sites", "list"), {"SPROUT_API_URL": "ftp://x"}, 1, "SPROUT_API_URL"),
    "no such command": (("sits",), {}, 2, "sits"),
    "no such option": (("sites", "list", "--x"), {}, 2, "--x"),
    "odd pair": ((*MACHINE[:6], "--bmc", "adress=x"), {}, 1, "Known words"),
    "slash in a name": (("machines", "show", "a/../../x?y"), {}, 3, "nothing at this URL"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_a_sentence_with_what_to_do_and_a_status(sprout, case):
    words, more, status, advice = case

    done = sprout(*words, **more)

    assert done.returncode == status, done.stderr
    assert advice in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_people_are_told_which_machine_it_is_by_name_and_programs_by_id(sprout, inventory):
    said = ("--action", "reboot", "--reason", "kernel")
    made = sprout("approvals", "create", "--machine-id", "node-01", *said).stdout.strip()

    (row,) = [line for line in sprout("approvals", "list").stdout.splitlines() if made in line]
    told = json.loads(sprout("approvals", "list", "--json").stdout)

    assert "node-01" in row.split()
    assert [set(each) & {"machine", "machineId"} for each in told] == [{"machineId"}] * len(told)
