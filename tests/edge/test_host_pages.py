"""Pages of hosts: registered, rebuilt and forgotten by forms, and shown in their own words."""

import re

import pytest
from markupsafe import escape

from edge.app import create_app
from models import queries
from models.commands import approvals, asks, providing, root_password, server_types
from models.errands import Ended, Errand
from models.kinds import Progress
from models.observations import Seen
from models.phases import Phase
from models.steps import Trait
from models.tables import Machine, Profile
from tests.edge import racked
from tests.edge.conftest import config
from tests.edge.signed_in import Browser, text
from tests.models import make

pytestmark = pytest.mark.services

MAC = "52:54:00:aa:00:01"
NEW = {"__hostname": "pve-01", "__mac": MAC, "__server_type": "minisforum-ms-01"}
TEMPTER = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def types(tmp_path):
    path = racked.types(tmp_path)
    server_types.follow_file(path)
    root_password.choose(racked.HASH)
    yield path
    server_types.follow_file(None)
    root_password.choose("")
    providing.choose((), "provisioning.sprout.local")


@pytest.fixture
def rack(db, types):
    return racked.Racked()


@pytest.fixture
def host(rack):
    return rack.host("pve-01", MAC)


@pytest.fixture
def person(app):
    return Browser(app)


def at_field(page, pointer):
    """Return the mark-up of a field, and what stands at it."""
    name = pointer.replace("/", "-")
    box = re.search(rf'<(?:input|select) id="f{name}"[^>]*>', page)[0]
    told = re.search(rf'<p class="fine[^>]*id="f{name}-told">([^<]*)', page)
    return box, told[1] if told else ""


def steps(page):
    """Return the states of the stepper, each with its mark."""
    found = re.findall(r'<li class="(\w+)"[^>]*><span class="name">(\w+)', page)
    return [(name, mark) for mark, name in found]


# --- register ---


def test_a_host_is_registered_by_three_words_and_has_a_page(person, rack):
    form = person.get("/new-host")
    answer = person.post("/new-host", **NEW)

    assert "Minisforum MS-01, wipes /dev/nvme0n1" in form.text
    made = queries.machine("pve-01")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/hosts/{made.id}")
    shown = text(person.get(f"/hosts/{made.id}"))
    for words in (
        "Minisforum MS-01",
        MAC,
        "no BMC: a person switches it",
        "Boot disk /dev/nvme0n1",
    ):
        assert words in shown
    assert person.get("/hosts/pve-01").text.count("pve-01") > 1


TAKEN = [
    ({"__hostname": "PVE-01", "__mac": "52:54:00:aa:00:02"}, ["/hostname"]),
    ({"__hostname": "pve-02", "__mac": "52-54-00-AA-00-01"}, ["/mac"]),
    ({"__hostname": "Pve-01", "__mac": "525400AA0001"}, ["/hostname", "/mac"]),
]


def test_a_name_in_any_case_and_a_mac_that_are_taken_are_told_at_their_fields(person, host):
    for form, wrong in TAKEN:
        answer = person.post("/new-host", **NEW | form)

        told = {pointer: at_field(answer.text, pointer) for pointer in ("/hostname", "/mac")}
        assert answer.status_code == 409
        assert [each for each in told if 'aria-invalid="true"' in told[each][0]] == wrong
        assert all("Such as" not in told[each][1] for each in wrong)
        assert f'value="{form["__hostname"]}"' in told["/hostname"][0]
        assert "autofocus" in told[wrong[0]][0]


WRONG = [
    ({"__hostname": ""}, "/hostname"),
    ({"__hostname": TEMPTER}, "/hostname"),
    ({"__hostname": "a" * 10_000}, "/hostname"),
    ({"__mac": "01:00:5e:00:00:01"}, "/mac"),
    ({"__mac": "خادم"}, "/mac"),
    ({"__server_type": "cray-1"}, "/server_type"),
    ({"__server_type": ""}, "/server_type"),
]


def test_what_is_wrong_stands_at_its_field_and_nothing_is_registered(person, rack):
    for form, wrong in WRONG:
        answer = person.post("/new-host", **NEW | form)

        assert answer.status_code == 422, form
        assert 'aria-invalid="true"' in at_field(answer.text, wrong)[0]
        assert "<img" not in answer.text
    assert Machine.select().count() == 0


def test_without_a_good_file_of_server_types_the_form_says_so(person, rack, types):
    types.write_text("ms-01: {}")
    server_types.follow_file(types)

    page = person.get("/new-host")

    assert "It cannot be done yet" in page.text
    assert "ms-01.display_name" in page.text
    assert "The file of server types is not in force" in page.text


def test_who_has_no_site_is_told_to_make_one(person, db, types):
    assert "it is not said at which of them hosts stand" in text(person.get("/new-host"))
    assert person.post("/new-host", **NEW).status_code == 409


def test_an_empty_fleet_teaches_register_and_rebuild(person, db, types):
    make.site("home")
    bare = text(person.get("/"))
    racked.Racked(queries.site("home").id)
    page = person.get("/")

    for words in ("No host yet", "Upload an ISO", "Register host", "sprout hosts rebuild pve-01"):
        assert words in bare
    assert "It has Proxmox VE 9.1." in text(page)
    assert 'href="/new-host"' in page.text


def test_without_server_types_the_fleet_speaks_of_machines(person, db):
    page = person.get("/")

    assert "No machine yet" in page.text
    assert "/new-host" not in page.text


# --- rebuild ---


def test_a_rebuild_says_which_disk_it_wipes_and_wants_the_host_name(person, rack, host):
    page = person.get(f"/hosts/{host}/rebuild")
    unsure = person.post(f"/hosts/{host}/rebuild", __confirm="pve-02")
    sure = person.post(f"/hosts/{host}/rebuild", __confirm="PVE-01", __reason="a new disk")

    assert "Wipes /dev/nvme0n1 and installs Proxmox VE 9.1" in text(page)
    assert "power it on and boot it from the network" in text(page)
    assert (unsure.status_code, sure.status_code) == (422, 303)
    assert "Type pve-01" in at_field(unsure.text, "/confirm")[1]
    flow = queries.machine(host).workflow
    assert sure.headers["Location"] == f"/ops/{flow.id}"
    assert (flow.kind, flow.reason) == ("provision", "a new disk")


def test_looking_at_a_rebuild_changes_nothing(person, host):
    person.get(f"/hosts/{host}/rebuild")

    assert Profile.select().count() == 0


def test_the_disks_that_a_profile_or_a_server_type_names_are_those_that_are_said(
    person, host, types
):
    answer = "  answer: |\n    [disk-setup]\n    filesystem = 'zfs'\n    zfs.raid = 'raid1'\n"
    listed = "    disk-list = ['sda', 'sdb']\n"
    matched = "    filter = {ID_SERIAL = 'S*'}\n"
    told = []
    for more in (listed, matched):
        types.write_text(f"minisforum-ms-01:{racked.TYPES.split(':', 1)[1]}".rstrip() + "\n")
        text_ = types.read_text().replace(
            "  management_nic: enp2s0\n", f"  management_nic: enp2s0\n{answer}{more}", 1
        )
        types.write_text(text_)
        server_types.follow_file(types)
        told.append(text(person.get(f"/hosts/{host}/rebuild")))

    assert "Wipes sda, sdb and installs" in told[0]
    assert "Wipes the disks with ID_SERIAL=S* and installs" in told[1]


def test_a_rebuild_that_cannot_begin_says_why_and_offers_no_button(person, db, types):
    home = make.site("home")
    host = racked.Racked.host(type("Bare", (), {"site": home}), "pve-01", MAC)

    page = person.get(f"/hosts/{host}/rebuild")

    assert "It cannot begin yet" in page.text
    assert "there is no Proxmox image" in page.text
    assert 'href="/new-iso"' in page.text
    assert 'class="danger">rebuild' not in page.text


def test_a_host_that_is_being_rebuilt_is_not_rebuilt_again(person, rack, host):
    rack.rebuild(host)

    page = person.get(f"/hosts/{host}/rebuild")
    again = person.post(f"/hosts/{host}/rebuild", __confirm="pve-01")

    assert "From pxe_ready it can: cancel." in page.text
    assert again.status_code == 409
    assert "Rebuild…" not in person.get(f"/hosts/{host}").text


def test_a_host_in_use_is_rebuilt_with_the_approval_that_policy_wants(person, rack, host):
    rack.rebuild(host)
    rack.bring(host, Phase.FIRST_BOOT)
    refused = person.post(f"/hosts/{host}/rebuild", __confirm="pve-01")
    new = approvals.NewApproval(machine_id=host, action="reprovision", decision="approved")
    approval = approvals.create_approval(make.ADMIN, new)

    page = person.get(f"/hosts/{host}/rebuild")
    begun = person.post(f"/hosts/{host}/rebuild", __confirm="pve-01", __approval_id=str(approval))

    assert (refused.status_code, begun.status_code) == (403, 303)
    assert str(approval) in page.text
    assert queries.machine(host).workflow.kind == "reprovision"


# --- shown ---


def test_each_state_is_shown_by_its_word_on_the_tile_and_in_the_stepper(person, rack):
    providing.choose((), "home.example", hosts=[Trait.INFRASTRUCTURE])
    for number, (state, _, _) in enumerate(racked.SEEN):
        host = rack.host(f"pve-0{number}", f"52:54:00:aa:00:0{number}")
        rack.rebuild(host)
        rack.bring(host, state)
        word = "joining" if state is Phase.FIRST_BOOT else state.value

        marks = steps(person.get(f"/hosts/{host}").text)
        assert [name for name, mark in marks if mark == "now"] == [word]
        assert [mark for _, mark in marks].count("past") == list(dict(marks)).index(word)
        tile = re.search(rf'<li id="tile-{host}".*?</li>', person.get("/").text, re.DOTALL)[0]
        assert f"</i>{word}</span>" in tile
        assert f'href="/hosts/{host}"' in tile


def test_what_a_host_without_a_bmc_waits_for_is_said_in_a_sentence(person, rack, host):
    rack.rebuild(host)
    rack.bring(host, Phase.PXE_READY)

    shown = text(person.get(f"/hosts/{host}"))

    assert "pve-01 waits for a person: power it on and boot from the network." in shown
    assert "Deadline in 24 h" in shown


def test_a_host_that_is_ready_says_its_hardware_id_and_that_it_is_to_be_released_first(
    person, rack, host
):
    providing.choose((), "home.example", hosts=[Trait.INFRASTRUCTURE])
    rack.rebuild(host)
    rack.bring(host, Phase.FIRST_BOOT)
    racked.run_errand(Errand.INFRASTRUCTURE_REGISTER)

    page = person.get(f"/hosts/{host}")

    assert {mark for _, mark in steps(page.text)} == {"past"}
    for words in ("Hardware id 4C4C4544", "delete Release it first", "it is ready"):
        assert words in text(page)


def test_a_host_that_failed_shows_where_and_why_and_can_be_rebuilt(person, rack, host):
    flow = rack.rebuild(host)
    rack.bring(host, Phase.PXE_BOOTED)
    make.overdue(flow)

    page = person.get(f"/hosts/{host}")

    assert [name for name, mark in steps(page.text) if mark == "failed"] == ["pxe_booted"]
    assert "no sign of the installer to be loaded" in text(page)
    assert "sprout hosts rebuild pve-01" in text(page)
    assert f'href="/hosts/{host}/rebuild"' in page.text


FAILS = [
    (Phase.REGISTERED, Seen.PLAN_REFUSED, "vmlinuz is not what its image says", "pxe_ready"),
    (Phase.PXE_READY, Seen.BOOT_FAILED, "", "pxe_ready"),
    (Phase.INSTALLING, Seen.ANSWER_REPEATED, "", "installing"),
    (Phase.INSTALLING, Seen.INSTALL_FAILED, "no disk <b>nvme0n1</b>", "installing"),
    (
        Phase.INSTALLED,
        Seen.HOME_SUSPECT,
        "10.9.9.9 is neither its peer nor the plan's",
        "installed",
    ),
]


def test_whatever_ends_a_rebuild_stands_on_the_page_with_where_it_was(person, rack):
    for number, (state, kind, reason, at) in enumerate(FAILS):
        host = rack.host(f"pve-0{number}", f"52:54:00:aa:00:0{number}")
        flow = rack.rebuild(host)
        if state is not Phase.REGISTERED:
            rack.bring(host, state)
        run = queries.machine(host).run_id
        rack.agent.report(kind, host, run=run, data={"reason": reason} if reason else {})

        page = person.get(f"/hosts/{host}")
        detail = queries.workflow(flow).detail
        assert [name for name, mark in steps(page.text) if mark == "failed"] == [at], kind
        assert detail
        assert reason in detail
        assert str(escape(detail)) in page.text
        assert str(escape(detail)) in person.get(f"/ops/{flow}").text
        assert f'href="/hosts/{host}/rebuild"' in page.text


def test_a_join_that_failed_is_told_as_such(person, rack, host):
    providing.choose((), "home.example", hosts=[Trait.INFRASTRUCTURE])
    rack.rebuild(host)
    rack.bring(host, Phase.FIRST_BOOT)
    racked.run_errand(
        Errand.INFRASTRUCTURE_REGISTER, Ended(done=False, reason="it is unknown there")
    )

    page = person.get(f"/hosts/{host}")

    assert [name for name, mark in steps(page.text) if mark == "failed"] == ["joining"]
    assert "it is unknown there" in page.text


def test_a_host_that_was_retired_is_not_called_registered(person, rack, host):
    Machine.update(state="retired").execute()

    page = person.get(f"/hosts/{host}")

    assert "</i>retired</span>" in page.text
    assert "Rebuild…" not in page.text


def test_a_host_whose_server_type_is_gone_still_has_a_page(person, rack, host, types):
    types.write_text(types.read_text().replace("minisforum-ms-01:", "other:"))
    server_types.follow_file(types)

    assert "The file of server types does not have its type now." in text(
        person.get(f"/hosts/{host}")
    )
    assert "there is no server type" in text(person.get(f"/hosts/{host}/rebuild"))


def test_a_machine_is_no_host_and_has_no_page_of_one(person, rack):
    machine = make.machine(rack.site, "node-01", [make.interface("52:54:00:00:00:09")])

    assert person.get(f"/hosts/{machine}").status_code == 404
    assert person.get("/hosts/node-01/rebuild").status_code == 404
    assert "stepper" not in person.get(f"/machines/{machine}").text


# --- the operation ---


def test_an_operation_has_its_host_its_duration_and_its_own_log_alone(person, rack, host):
    first = rack.rebuild(host, reason="the first of two")
    asks.cancel(make.ADMIN, first, reason="not yet")
    second = rack.rebuild(host)

    page = person.get(f"/ops/{second}")

    assert f'href="/hosts/{host}"' in page.text
    assert re.search(r"Took [\d.]+ s so far", text(page))
    assert "the first of two" not in page.text
    assert "boot_disk /dev/nvme0n1" in text(page)
    assert "the first of two" in person.get(f"/ops/{first}").text


def test_cancelling_an_operation_fails_the_host_and_frees_it(person, rack, host):
    flow = rack.rebuild(host)
    rack.bring(host, Phase.PXE_READY)

    assert "sprout hosts cancel pve-01" in person.get(f"/ops/{flow}").text
    answer = person.post(f"/workflows/{flow}/cancel", __reason="the wrong one")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/ops/{flow}")
    shown = person.get(f"/hosts/{host}").text
    assert "</i>failed</span>" in shown
    assert [name for name, mark in steps(shown) if mark == "failed"] == ["pxe_ready"]
    assert queries.workflow(flow).progress is Progress.CANCELLED
    assert rack.rebuild(host)


# --- delete ---


def test_a_host_is_forgotten_after_its_name_was_typed(person, host):
    unsure = person.post(f"/hosts/{host}/delete", __confirm="another")
    sure = person.post(f"/hosts/{host}/delete", __confirm="pve-01")

    assert (unsure.status_code, sure.status_code) == (422, 303)
    assert person.get(f"/hosts/{host}").status_code == 404


def test_a_host_that_is_held_is_not_forgotten_and_its_page_says_why(person, rack, host):
    rack.rebuild(host)

    refused = person.post(f"/hosts/{host}/delete", __confirm="pve-01")

    assert refused.status_code == 409
    assert "delete Cancel its rebuild first." in text(person.get(f"/hosts/{host}"))
    assert queries.machine(host).hostname == "pve-01"


# --- who may ---


FORMS = ("/new-host", "/hosts/{host}/rebuild", "/hosts/{host}/delete")


def test_no_form_is_taken_from_another_site_or_from_who_may_only_look(app, person, host):
    viewer = Browser(app, grants=(("viewer", None),), name="eve")
    sent = {**NEW, "__confirm": "pve-01"}
    for path in (form.format(host=host) for form in FORMS):
        assert person.post(path, csrf="forged", **sent).status_code == 403
        assert viewer.get(path).status_code == 403
        assert viewer.post(path, **sent).status_code == 403
    assert (queries.machine(host).workflow, Machine.select().count()) == (None, 1)


def test_who_may_only_look_sees_the_host_and_no_button(app, rack, host):
    flow = rack.rebuild(host)
    viewer = Browser(app, grants=(("viewer", None),), name="eve")

    pages = [viewer.get(path) for path in (f"/hosts/{host}", f"/ops/{flow}", "/")]

    assert [page.status_code for page in pages] == [200, 200, 200]
    for words in ("Rebuild…", "delete…", "cancel rebuild", "Register host", "Cancel rebuild"):
        assert all(words not in page.text for page in pages)


def test_the_hosts_of_another_site_are_not_told_from_none(app, database_url, rack, host):
    make.site("other")
    flow = rack.rebuild(host)
    stranger = Browser(app, grants=(("admin", "other"),), name="eve")
    here = create_app(config(database_url=database_url, site="other"))

    for path in (f"/hosts/{host}", f"/hosts/{host}/rebuild", "/hosts/pve-01", f"/ops/{flow}"):
        assert stranger.get(path).status_code == 404
    assert stranger.post(f"/hosts/{host}/delete", __confirm="pve-01").status_code == 404
    new = {**NEW, "__hostname": "pve-02", "__mac": "52:54:00:aa:00:02"}
    made = Browser(here, grants=(("operator", "other"),)).post("/new-host", **new)
    assert made.status_code == 303
    assert queries.machine("pve-02").site_slug == "other"
