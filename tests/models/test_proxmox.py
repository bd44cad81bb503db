"""A host of Proxmox VE, from the request to its first boot: the installer's calls over real HTTP,
what they say taken to control, and control's workflow led by them.
"""

import json

import pytest

from actors.control import rendering
from models import bootplan, documents, join_steps, queries
from models.answering import Hardware
from models.bootplan import Access, BootPlan
from models.commands import asks, inventory, remote, reports, run_keys, walks
from models.errors import NotReady
from models.messages import Kind
from models.observations import Seen
from models.tables import Agent, Machine, Network, Plan, Run, RunKey, Workflow
from models.workflows import table_of
from tests.models import make
from tests.models.test_installer_calls import ASKED, INSTALLED, KEY
from tests.pxe_stack import make as boots
from tests.pxe_stack import web
from tests.services import pve_board
from tests.services.pve_board import Board
from tests.services.pve_installer import Installer, Mode

services = pytest.mark.services

PVE = {
    "installer": "proxmox",
    "image_path": "",
    "iso_path": "proxmox.iso",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "proxmox.iso": "2" * 64},
    "image_bytes": 1 << 30,
}
LOOPBACK = {"cidr": "127.77.0.0/24", "range_start": "127.77.0.10", "range_end": "127.77.0.99"}
PROFILE = '#cloud-config\nproxmox: |\n  [global]\n  root-password-hashed = "$6$salt$hash"\n'
CARDS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
TYPE = Hardware(boot_disk="/dev/nvme0n1", management_nic="enp2s0")


def test_the_host_states_have_the_deadlines_that_they_are_given():
    steps = {step.name: step.deadline_s for step in table_of("provision", ["proxmox"]).steps}
    by_hand = table_of("provision", ["proxmox", "by-hand"]).steps

    assert {name: steps[name] for name in ("answered", "installed", "phoned-home")} == {
        "answered": 900,
        "installed": 2700,
        "phoned-home": 1200,
    }
    assert next(s.deadline_s for s in by_hand if s.name == "netbooted") == 24 * 3600
    assert join_steps.JOIN_S == 600
    assert "installing" not in steps


class Host:
    """One host without a BMC, at a site whose boot HTTP is real."""

    def __init__(self, site: web.Web) -> None:
        self.site, self.taken, self.host_keys = site, 0, dict(pve_board.KEYS)
        self.id = make.site()
        make.network(self.id, **LOOPBACK)
        self.image = make.image("pve", **PVE)
        inventory.create_profile(
            make.ADA, ref="pve", name="Proxmox VE", cloud_config_template=PROFILE, ssh_keys=[]
        )
        self.machine = self.registered()
        self.agent = make.Agent(self.id)
        Agent.delete().execute()
        self.agent.id = boots.AGENT
        self.agent.register()

    def registered(self):
        cards = [make.interface(CARDS[0]), make.interface(CARDS[1], "eth1", pxe=False)]
        return make.machine(self.id, "pve1", cards, bmc=None, root_disk=None)

    def ask(self, hardware=TYPE):
        return asks.provision(
            make.ADA, self.machine, image_ref=self.image, profile_ref="pve", hardware=hardware
        )

    def rebuild(self):
        flow = self.ask()
        self.take_up(flow)
        return flow

    def take_up(self, flow):
        """Have control take *flow* up, and the site hold its plan."""
        walks.advance(flow, rendering.documents)
        self.plan = BootPlan.decode(Plan.get().body)
        self.site.stores.plans.put(self.plan)
        self.agent.report(Seen.PLAN_SERVED, self.machine, run=self.plan.run)

    def call(self, method, path, document=None, source=None):
        body = b"" if document is None else json.dumps(document).encode()
        lines = (
            f"{method} {path.removeprefix(self.plan.boot_base_url)} HTTP/1.1",
            *("Host: s", "Connection: close", "Content-Type: application/json; charset=utf-8"),
            *("Accept: application/json, application/toml;q=0.5", f"Content-Length: {len(body)}"),
            *("", ""),
        )
        source = source or self.plan.addressing.address
        came = self.site.tell("\r\n".join(lines).encode() + body, source)
        self.relay()
        head, _, told = came.partition(b"\r\n\r\n")
        return int(head.split()[1]), told.decode()

    def relay(self):
        """Take what the site saw to control, as its agent does."""
        rows = self.site.stores.journal.pending(self.taken, 1000)
        told = [{"seq": 1000 + seq, **seen.encode()} for seq, seen in rows]
        self.taken = max((seq for seq, _ in rows), default=self.taken)
        body = {"incarnation": self.agent.incarnation, "reports": told}
        reports.receive(self.agent.envelope(Kind.OBSERVATIONS, body), rendering.documents)

    @property
    def installer(self):
        """What runs on it: the installer of this rebuild."""
        folder = self.site.folder / f"host-{self.plan.run}"
        folder.mkdir(exist_ok=True)
        address = self.plan.addressing.address
        board = Board(macs=CARDS, cidr=f"{address}/24", host_keys=self.host_keys)
        return Installer(board, folder, source=address, at=("127.0.0.1", self.site.port))

    def boot(self):
        """Go from the entry to the answer, and return it."""
        self.netboot()
        return self.ask_for_answer()

    def netboot(self):
        self.script = self.installer.boot(self.plan.boot_base_url).script
        self.relay()

    def ask_for_answer(self):
        answer = self.installer.ask(Mode(f"{self.plan.boot_base_url}/api/boot/answer"))
        self.relay()
        return answer

    def home(self, source=None, **changes):
        token = bootplan.token(boots.KEY, self.plan.run, Access.CALLBACK)
        path = f"/api/hosts/{self.machine}/phone-home?run={self.plan.run}&token={token}"
        told = {"ip": self.plan.addressing.address, "hardware_id": "4C4C4544"}
        return self.call("POST", path, told | changes, source)

    @property
    def view(self):
        return queries.machine(self.machine)


@pytest.fixture
def host(db, tmp_path):
    with web.serving(tmp_path) as site:
        yield Host(site)


def webhook(answer):
    return answer["post-installation-webhook"]["url"]


@services
def test_a_host_with_a_name_a_mac_and_a_type_is_rebuilt_to_its_first_boot(host):
    flow = host.rebuild()
    phases = [host.view.phase.value]

    answer = host.boot()
    phases.append(host.view.phase.value)
    script = host.call("GET", answer["first-boot"]["url"])
    installed = host.call("POST", webhook(answer), INSTALLED)
    phases.append(host.view.phase.value)
    key = run_keys.private(host.plan.run)
    called = host.home()

    assert phases == ["pxe_ready", "installing", "installed"]
    assert (script[0], installed[0], called[0]) == (200, 200, 200)
    assert Workflow.get_by_id(flow).state == "succeeded"
    assert host.view.state.value == "active"
    assert Machine.get_by_id(host.machine).ssh_host_keys[0] == KEY
    run = Run.get_by_id(host.plan.run)
    assert (run.home_address, run.hardware_id) == (host.plan.addressing.address, "4C4C4544")
    assert key.reveal().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert not RunKey.select().exists()


@services
def test_a_host_on_a_lan_of_another_dhcp_server_is_where_it_says_and_nowhere_before(host):
    Machine.update(server_type="minisforum-ms-01").execute()
    Network.update(dhcp_mode="proxy").execute()
    there = "127.77.0.123"
    host.rebuild()
    answer = host.boot()
    before = host.view, documents.machine(host.machine)
    host.call("POST", webhook(answer), INSTALLED)

    assert host.home(source=there, ip=there)[0] == 200

    after = host.view, documents.machine(host.machine)
    assert [before[0].address, before[1]["address"]] == [None, None]
    assert [after[0].address, after[1]["address"]] == [there, there]
    assert remote.host_of(Machine.get_by_id(host.machine))["address"] == there


@services
def test_the_boot_script_loads_kernel_initramfs_and_the_iso_as_one(host):
    host.rebuild()

    host.boot()

    assert "proxmox-start-auto-installer || goto failed" in host.script
    own = bootplan.url(host.plan, boots.KEY, Access.SEED, "proxmox.iso")
    assert f"initrd {own} proxmox.iso || goto failed" in host.script.splitlines()


@services
def test_each_rebuild_has_a_key_of_its_own_which_only_its_answer_bears(host):
    host.rebuild()
    first = host.boot()["global"]["root-ssh-keys"]
    asks.cancel(make.ADA, Workflow.get().id)
    kept = RunKey.select().count()
    site_plan = BootPlan.decode(Plan.get().body)
    host.site.stores.plans.put(site_plan)
    host.agent.report(Seen.PLAN_WITHDRAWN, host.machine, data={"version": site_plan.version})

    host.rebuild()
    second = host.boot()["global"]["root-ssh-keys"]

    assert kept == 0
    assert len(first) == len(second) == 1
    assert first != second
    assert second[0].endswith(f"sprout-run-{host.plan.run}")
    stored = Plan.get().body["documents"]
    assert not any(second[0].split()[1] in each["body"] for each in stored)


@services
def test_a_host_of_no_known_disk_is_refused_for_what_needs_one_and_not_for_this(host):
    with pytest.raises(NotReady):
        asks.provision(make.ADA, host.machine, image_ref=make.image(), profile_ref=make.profile())

    assert host.ask()


@services
def test_an_answer_that_is_asked_for_again_is_given_and_fails_the_run_with_that_reason(host):
    flow = host.rebuild()
    host.boot()

    again = host.call("POST", "/api/boot/answer", ASKED)

    row = Workflow.get_by_id(flow)
    assert (again[0], row.state, host.view.state.value) == (200, "failed", "failed")
    assert "a second time" in row.detail


@services
def test_a_first_boot_from_nowhere_fails_the_run_with_that_reason(host):
    flow = host.rebuild()
    answer = host.boot()
    host.call("POST", webhook(answer), INSTALLED)

    assert host.home(ip="10.9.9.9")[0] == 200

    row = Workflow.get_by_id(flow)
    assert row.state == "failed"
    assert "10.9.9.9" in row.detail
    assert not RunKey.select().exists()


@services
def test_keys_that_are_told_again_do_not_replace_those_that_are_pinned(host):
    host.rebuild()
    answer = host.boot()
    other = {**INSTALLED, "ssh-public-host-keys": {"ed25519": KEY.replace("AAAA", "BBBB")}}

    host.call("POST", webhook(answer), INSTALLED)
    again = host.call("POST", webhook(answer), other)
    host.agent.report(
        Seen.INSTALLED, host.machine, run=host.plan.run, data={"host_keys": ["ssh-rsa BBBB"]}
    )

    assert again[0] == 200
    assert Machine.get_by_id(host.machine).ssh_host_keys[0] == KEY


@services
def test_calls_after_a_cancellation_are_answered_kept_and_move_nothing(host):
    flow = host.rebuild()
    answer = host.boot()
    asks.cancel(make.ADA, flow)
    host.site.stores.plans.put(BootPlan.decode(Plan.get().body))

    told = host.call("POST", webhook(answer), INSTALLED)
    asked = host.call("POST", "/api/boot/answer", ASKED)

    assert (told[0], asked[0]) == (200, 404)
    assert Workflow.get_by_id(flow).state == "cancelled"
    assert Machine.get_by_id(host.machine).ssh_host_keys != [KEY]
    late = host.site.rows(Seen.STRANGE_REQUEST)[0]
    assert late.data["why"] == "late-callback"


def nothing(host):
    """Never come to its boot script."""


def fetched(host):
    host.agent.report(Seen.SCRIPT_SERVED, host.machine, run=host.plan.run)


def installing(host):
    host.boot()


def installed(host):
    host.call("POST", webhook(host.boot()), INSTALLED)


@services
@pytest.mark.parametrize(
    ("come_to", "step"),
    [
        (nothing, "netbooted"),
        (fetched, "answered"),
        (installing, "installed"),
        (installed, "phoned-home"),
    ],
)
def test_a_host_that_does_not_get_on_fails_at_its_deadline_and_loses_its_key(host, come_to, step):
    flow = host.rebuild()
    come_to(host)

    make.overdue(flow)

    row = Workflow.get_by_id(flow)
    assert (row.state, row.detail.partition(":")[0]) == ("failed", step)
    assert host.view.phase.value == "failed"
    assert not RunKey.select().exists()
