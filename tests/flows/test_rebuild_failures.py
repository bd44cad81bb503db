"""Rebuilds of hosts that come to nothing: each has failed, says why, and is free to be rebuilt."""

import html
from uuid import UUID

import pytest

from actors.control import joins
from config import clusters
from edge.app import create_app
from models import bootplan
from models.bootplan import Access, BootPlan
from models.commands import moves, providing, root_password, server_types
from models.errands import Errand as Name
from models.observations import Seen
from models.steps import Trait
from models.tables import Errand, Machine, Observation, Plan, Run, RunKey
from tests.actors.join_lab import pve_nodes, pve_world
from tests.actors.provider_lab import chosen_nothing
from tests.actors.rebuild_lab import Control, clustered, installed
from tests.edge.conftest import Api, config
from tests.models import make
from tests.models.test_proxmox import Host
from tests.pxe_stack import make as boots
from tests.pxe_stack import web

__all__ = ["pve_nodes", "pve_world"]

pytestmark = pytest.mark.services

TYPES = "ms-01: {display_name: MS-01, boot_disk: /dev/nvme0n1, management_nic: enp2s0}\n"


class Asked(Host):
    """A host that is asked for over the API."""

    def __init__(self, site, api):
        super().__init__(site)
        self.api = api
        Machine.update(server_type="ms-01").execute()

    def ask(self, hardware=None):
        begun = self.rebuilt_again()
        assert begun.status_code == 202, begun.json
        return UUID(begun.json["id"])

    def rebuilt_again(self):
        return self.api.post(f"/api/hosts/{self.machine}/rebuild")

    def failed(self, flow, words):
        """Demand that it has failed for what *words* say, on its page too, and may be rebuilt."""
        shown = self.api.get(f"/api/hosts/{self.machine}").json
        assert (shown["state"], shown["operation"]["state"]) == ("failed", "failed")
        assert words in shown["operation"]["detail"]
        for page in (f"/ops/{flow}", f"/hosts/{self.machine}"):
            assert words in html.unescape(self.api.get(page).text), page
        assert self.rebuilt_again().status_code == 202

    def kinds(self, *wanted):
        query = Observation.select().where(Observation.kind.in_(wanted)).order_by(Observation.id)
        return [row.kind for row in query]


@pytest.fixture
def host(db, tmp_path):
    types = tmp_path / "server-types.yaml"
    types.write_text(TYPES)
    server_types.follow_file(types)
    root_password.choose("$6$of-the-settings$hash")
    providing.choose((), "prov.example", hosts={Trait.CLUSTER})
    with web.serving(tmp_path) as site:
        yield Asked(site, Api(create_app(config(database_url=db))))
    chosen_nothing()
    root_password.choose("")
    server_types.follow_file(None)


def nothing(host):
    """Hear nothing of it: it has no DHCP."""


def fetched(host):
    host.installer.boot(host.plan.boot_base_url)
    host.relay()


def answered(host):
    host.boot()


def silent(host):
    host.installer.install(host.boot())
    host.relay()


@pytest.mark.parametrize(
    ("come_to", "state", "words"),
    [
        (nothing, "pxe_ready", "netbooted: nobody did this in time: power it on and boot from"),
        (fetched, "pxe_booted", "answered: no sign of the installer to be loaded, to start and"),
        (answered, "installing", "installed: no sign of the installer to install the system"),
        (silent, "installed", "phoned-home: no sign of the installed system to boot from disk"),
    ],
    ids=["no-dhcp", "no-answer-asked", "never-installed", "never-home"],
)
def test_a_host_that_gets_no_further_has_failed_at_its_deadline(host, come_to, state, words):
    flow = host.rebuild()
    come_to(host)
    before = host.api.get(f"/api/hosts/{host.machine}").json["state"]

    make.overdue(flow)

    assert before == state
    host.failed(flow, words)
    assert RunKey.select().count() == 0


def test_an_answer_that_is_fetched_twice_is_of_an_installer_that_began_anew(host):
    flow = host.rebuild()

    host.boot()
    host.boot()

    host.failed(flow, "the answer was asked for a second time: the installer began anew")


def test_a_first_boot_that_says_an_address_of_nobodys_is_not_believed(host):
    flow = host.rebuild()
    silent(host)

    assert host.home(ip="10.9.9.9")[0] == 200

    host.failed(flow, "it says that it is at 10.9.9.9, calls from 127.77.0.10")


# --- joins ---


def has_a_guest(node, _world):
    (node.pve / ".vmlist").write_text('{"ids": {"100": {}}}')


def has_no_quorum(_node, world):
    world.change("lab", "node-9", online=False)


def hangs(_node, world):
    (world.folder / "hangs").touch()


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (has_a_guest, "pve1 has 1 guest"),
        (has_no_quorum, "the cluster lab has no quorum"),
        (hangs, "joining the cluster hangs"),
    ],
)
def test_a_join_that_comes_to_nothing_fails_the_host_and_leaves_it_no_key(
    host, pve_world, monkeypatch, spoilt, words
):
    monkeypatch.setattr(joins, "MOVE_S", 1.0)
    control = Control(pve_world, clustered(pve_world))
    flow = host.rebuild()
    node = installed(host, pve_world)
    spoilt(node, pve_world)
    key = host.plan.ssh_key.split()[1]
    assert key in node.root_keys()

    assert control.do() == (Name.CLUSTER_JOIN, False)
    assert control.do() == (Name.RUN_KEY_REMOVE, True)

    assert key not in node.root_keys()
    assert RunKey.select().count() == 0
    assert host.kinds(Seen.KEY_REMOVED, Seen.KEY_LEFT) == [Seen.KEY_REMOVED]
    host.failed(flow, words)


def test_a_host_with_another_host_key_than_it_told_is_not_spoken_to_and_keeps_its_key(
    host, pve_world
):
    control = Control(pve_world, clustered(pve_world))
    flow = host.rebuild()
    node = installed(host, pve_world, says=pve_world.nodes["node-1"].sshd.keys)

    assert control.do() == (Name.CLUSTER_JOIN, False)
    assert control.do() == (Name.RUN_KEY_REMOVE, False)

    assert host.plan.ssh_key.split()[1] in node.root_keys()
    assert RunKey.select().count() == 0
    assert "the key of this rebuild may be on pve1 yet" in detail(host)
    host.failed(flow, "127.77.0.10: the host key has changed: it shows SHA256:")


def detail(host):
    return host.api.get(f"/api/hosts/{host.machine}").json["operation"]["detail"]


def test_a_key_that_cannot_be_removed_fails_the_host_that_has_joined_and_is_named(host, pve_world):
    access = clustered(pve_world)
    control = Control(pve_world, access)
    flow = host.rebuild()
    installed(host, pve_world)
    # A folder is where the new file is to be written before it takes the old one's place.
    (pve_world.nodes["node-1"].pve / "priv/authorized_keys.sprout").mkdir()

    assert control.do() == (Name.CLUSTER_JOIN, False)
    assert control.do() == (Name.RUN_KEY_REMOVE, False)

    assert "pve1" in pve_world.cluster()["nodes"]
    assert host.kinds(Seen.KEY_REMOVED, Seen.KEY_LEFT) == [Seen.KEY_LEFT]
    assert RunKey.select().count() == 0
    assert "the key of this rebuild may be on pve1 yet" in detail(host)
    host.failed(flow, "removing the key of this rebuild from")


def test_the_first_host_of_a_cluster_that_cannot_make_it_keeps_no_key(host, pve_world):
    control = Control(pve_world, clusters.Access(name="lab", password="env:PASSWORD"))
    flow = host.rebuild()
    node = installed(host, pve_world)
    (node.pve / "corosync.conf").touch()

    assert [control.do(), control.do()] == [
        (Name.CLUSTER_JOIN, False),
        (Name.RUN_KEY_REMOVE, True),
    ]

    assert host.plan.ssh_key.split()[1] not in node.root_keys()
    host.failed(flow, "pve1 has a corosync.conf already")


# --- cancellations ---


def joining(host):
    silent(host)
    assert host.installer.first_boot(tries=3) == 0
    host.relay()


@pytest.mark.parametrize(
    ("come_to", "state"),
    [
        (nothing, "pxe_ready"),
        (fetched, "pxe_booted"),
        (answered, "installing"),
        (silent, "installed"),
        (joining, "joining"),
    ],
)
def test_a_cancellation_fails_the_host_in_each_state_and_frees_it(host, come_to, state):
    flow = host.rebuild()
    come_to(host)
    before = host.api.get(f"/api/hosts/{host.machine}").json["state"]

    assert host.api.post(f"/v1/workflows/{flow}/cancel").status_code == 200

    shown = host.api.get(f"/api/hosts/{host.machine}").json
    assert (before, shown["state"]) == (state, "failed")
    assert shown["operation"]["state"] == "cancelled"
    assert shown["operation"]["detail"].startswith("cancelled by ")
    assert host.rebuilt_again().status_code == 202


def test_a_join_that_is_cancelled_is_over_before_its_key_is_removed(host, pve_world):
    control = Control(pve_world, clustered(pve_world))
    flow = host.rebuild()
    node = installed(host, pve_world)
    control.take()

    host.api.post(f"/v1/workflows/{flow}/cancel")

    assert control.take() is None
    Errand.update(wake_at=moves.now()).where(Errand.finished_at.is_null()).execute()
    assert control.do() == (Name.RUN_KEY_REMOVE, True)
    assert host.plan.ssh_key.split()[1] not in node.root_keys()
    assert RunKey.select().count() == 0


@pytest.mark.parametrize("come_to", [nothing, fetched, answered, silent, joining])
def test_calls_that_are_late_repeated_or_anothers_after_a_cancellation_move_nothing(host, come_to):
    flow = host.rebuild()
    come_to(host)
    host.api.post(f"/v1/workflows/{flow}/cancel")
    host.site.stores.plans.put(BootPlan.decode(Plan.get().body))
    before = moved(host)
    token = bootplan.token(boots.KEY, host.plan.run, Access.CALLBACK)
    own = f"/api/hosts/{host.machine}/installed?run={host.plan.run}&token={token}"
    told = host.installer.board.installed(ANSWER)

    calls = [host.call("POST", url, told)[0] for url in (own, own, f"{own}0")]
    calls += [host.home()[0], host.home(ip="10.9.9.9")[0]]

    assert calls == [200] * 5
    shown = host.api.get(f"/api/hosts/{host.machine}").json
    assert (shown["state"], shown["operation"]["state"]) == ("failed", "cancelled")
    rows = Observation.select().where(Observation.kind == Seen.STRANGE_REQUEST.value)
    found = {row.data["why"] for row in rows}  # each once in a while, however often it comes
    assert found == {"late-callback", "no-such-run"}
    assert moved(host) == before


ANSWER = {"global": {"fqdn": "pve1.rack.test"}, "disk-setup": {"filesystem": "ext4"}}


def moved(host):
    """What of the host a call might have changed."""
    machine, run = Machine.get(), Run.get()
    seen = host.kinds(Seen.ANSWER_SERVED, Seen.INSTALLED, Seen.PHONED_HOME, Seen.HOME_SUSPECT)
    return seen, machine.ssh_host_keys, machine.phase, run.home_address, run.hardware_id
