"""The boot contract over real stores, asked as machines and strangers ask."""

from dataclasses import replace
from uuid import uuid4

import pytest

from models import bootplan
from models.bootplan import Access, Action
from models.observations import Seen
from models.phases import Phase
from pxe_stack import http
from pxe_stack.loaders import Loaders
from pxe_stack.site_directory import Stores
from tests.pxe_stack import make

PLAN = make.plan()
MINE = {"REMOTE_ADDR": make.ADDRESS}
STRANGER = {"REMOTE_ADDR": "10.77.0.66"}


@pytest.fixture
def stores(tmp_path):
    opened = Stores(tmp_path, make.AGENT)
    opened.plans.put(PLAN)
    yield opened
    opened.close()


@pytest.fixture
def ask(stores):
    sources = http.Sources(
        directory=stores.directory,
        journal=stores.journal,
        loaders=Loaders(()),
        key=make.KEY,
        boot_url=make.URL,
        dhcp_on=False,
    )
    return http.app(sources).test_client()


def path(access, name, plan=PLAN):
    return bootplan.url(plan, make.KEY, access, name).removeprefix(make.URL)


def seen(stores):
    return [row.kind for _, row in stores.journal.pending(0, 100)]


def why(stores):
    return [row.data.get("why") for _, row in stores.journal.pending(0, 100)]


def test_the_machine_is_given_its_script_with_every_slot_filled(ask):
    body = ask.get(path(Access.SCRIPT, "script"), environ_base=MINE).text

    assert body.startswith("#!ipxe")
    assert bootplan.SLOT_MARK not in body


def test_get_head_and_range_serve_the_same_bytes(ask):
    url = path(Access.SEED, "manifest")
    whole = ask.get(url, environ_base=MINE)
    head = ask.head(url, environ_base=MINE)
    part = ask.get(url, environ_base=MINE, headers={"Range": "bytes=2-5"})

    assert head.headers["Content-Length"] == str(len(whole.data))
    assert part.status_code == 206
    assert part.data == whole.data[2:6]


STRANGE = {
    "another-address": (path(Access.SCRIPT, "script"), STRANGER, "wrong-address"),
    "another-token": (path(Access.SEED, "script"), MINE, "wrong-token"),
    "no-such-run": (path(Access.SCRIPT, "script", make.plan(run=uuid4())), MINE, "no-such-run"),
    "no-run-at-all": ("/boot/x/y/script", MINE, "no-such-run"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_whoever_is_not_the_machine_gets_the_constant_script_and_is_written_down(ask, stores, case):
    url, who, reason = STRANGE[case]

    body = ask.get(url, environ_base=who).text

    assert "kernel" not in body
    assert why(stores) == [reason]


@pytest.mark.parametrize("case", STRANGE)
def test_documents_are_not_there_for_a_stranger(ask, case):
    url, who, _ = STRANGE[case]

    answer = ask.get(url.replace("script", "seed/user-data"), environ_base=who)

    assert answer.status_code == 404
    assert answer.text == "not found\n"


REPORTS = [(a, n, k) for a, each in http.CALLBACKS.items() for n, k in each.items()]


@pytest.mark.parametrize(("action", "name", "kind"), REPORTS)
def test_a_callback_is_answered_and_kept(ask, stores, action, name, kind):
    stores.plans.put(make.plan(version=2, action=action))

    answer = ask.post(path(Access.CALLBACK, name), data={"a": "1"}, environ_base=MINE)

    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert seen(stores) == [kind]


def test_a_callback_from_elsewhere_is_answered_and_moves_nothing(ask, stores):
    answer = ask.post(path(Access.CALLBACK, "installed"), environ_base=STRANGER)

    assert answer.status_code == 200
    assert seen(stores) == [Seen.STRANGE_REQUEST]
    assert ask.get(path(Access.SCRIPT, "script"), environ_base=MINE).text.count("kernel")


@pytest.mark.parametrize(
    ("action", "name"),
    [(Action.WIPE, "installed"), (Action.WIPE, "phone-home"), (Action.INVENTORY, "wiped")],
)
def test_a_report_of_what_the_run_is_not_for_moves_nothing(ask, stores, action, name):
    stores.plans.put(make.plan(version=2, action=action))

    answer = ask.post(path(Access.CALLBACK, name), environ_base=MINE)

    assert (answer.status_code, why(stores)) == (200, ["not-of-this-run"])
    assert ask.get(path(Access.SCRIPT, "script"), environ_base=MINE).text.count("kernel")


def test_once_installed_the_machine_is_never_given_the_installer_again(ask, stores):
    ask.post(path(Access.CALLBACK, "installed"), environ_base=MINE)

    script = ask.get(path(Access.SCRIPT, "script"), environ_base=MINE).text
    entry = ask.get(f"/ipxe/{make.MAC}", environ_base=MINE).text
    manifest = ask.get(path(Access.SEED, "manifest"), environ_base=MINE)

    assert "kernel" not in script + entry
    assert "grub-local.efi" in script + entry
    assert manifest.status_code == 404


def test_a_callback_of_a_run_that_was_withdrawn_is_kept_as_late(ask, stores):
    url = path(Access.CALLBACK, "installed")
    stores.plans.put(make.plan(version=2, action=Action.LOCAL, run=None, documents=()))

    answer = ask.post(url, environ_base=MINE)

    assert answer.status_code == 200
    assert why(stores) == ["late-callback"]


@pytest.mark.parametrize("action", [Action.INSTALL, Action.WIPE, Action.INVENTORY])
@pytest.mark.parametrize("name", ["started", "progress"])
def test_a_machine_whose_run_was_cancelled_may_not_go_on(ask, stores, action, name):
    """The deploy system writes to no disk before "started" is taken, and no further without."""
    run = make.plan(action=action)
    stores.plans.put(replace(run, version=2))
    before = ask.post(path(Access.CALLBACK, name), environ_base=MINE)
    stores.plans.put(make.plan(version=3, action=Action.LOCAL, run=None, documents=()))

    after = ask.post(path(Access.CALLBACK, name), environ_base=MINE)

    assert (before.status_code, after.status_code) == (200, 410)
    assert why(stores)[-1] == "late-callback"


def test_nor_may_one_whose_plan_is_anothers_by_now_and_a_stranger_learns_nothing(ask, stores):
    started = path(Access.CALLBACK, "started")
    stolen = started.replace(bootplan.token(make.KEY, PLAN.run, Access.CALLBACK), "0" * 32)
    stores.plans.put(replace(PLAN, version=2, owner=uuid4()))

    statuses = [ask.post(url, environ_base=MINE).status_code for url in (started, stolen)]

    assert statuses == [410, 200]


def test_the_entry_leads_the_machine_to_its_script_and_tells_a_stranger_nothing(ask):
    mine = ask.get(f"/ipxe/{make.MAC}", environ_base=MINE).text
    stolen = ask.get(f"/ipxe/{make.MAC}", environ_base=STRANGER).text
    unknown = ask.get("/ipxe/52:54:00:ff:ff:ff", environ_base=STRANGER).text

    assert path(Access.SCRIPT, "script") in mine
    assert "/boot/" not in stolen + unknown


@pytest.mark.parametrize(
    "url",
    [
        "/artifacts/../../etc/passwd",
        "/artifacts/%2e%2e/%2e%2e/etc/passwd",
        "/artifacts//etc/passwd",
        "/artifacts/os/none",
        "/loaders/..%2f..%2fetc%2fpasswd",
        "/loaders/passwd",
        "/nothing",
    ],
)
def test_only_names_of_the_closed_table_are_served(ask, url):
    assert ask.get(url, environ_base=MINE).status_code == 404


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a" * 200_000, b"&".join(b"k%d=v" % n for n in range(5_000)), b"="]
)
def test_a_hostile_form_is_answered_and_stops_nothing(ask, body):
    answer = ask.post(
        path(Access.CALLBACK, "progress"),
        data=body,
        content_type="application/x-www-form-urlencoded",
        environ_base=MINE,
    )

    assert answer.status_code in {200, 413}
    assert ask.get("/healthz").status_code == 200


def test_no_row_of_the_journal_holds_a_token(ask, stores):
    for url in (path(Access.SCRIPT, "script"), path(Access.SEED, "manifest")):
        ask.get(url, environ_base=MINE)
        ask.get(url, environ_base=STRANGER)
    ask.post(path(Access.CALLBACK, "started"), environ_base=MINE)

    kept = str([row for _, row in stores.journal.pending(0, 100)])

    assert not any(bootplan.token(make.KEY, PLAN.run, access) in kept for access in Access)


TOLD = "stage=kernel&try=5&errno=0x2d0c613b&platform=efi&more=x"


def test_a_script_that_gives_up_says_where_and_why(ask, stores):
    ask.get(f"{path(Access.CALLBACK, 'trouble')}?{TOLD}", environ_base=MINE)
    ask.get(f"/ipxe/{make.MAC}/trouble?stage=script&errno=x%20y", environ_base=MINE)

    by_token, at_entry = [row for _, row in stores.journal.pending(0, 9)]
    assert (by_token.kind, by_token.run) == (Seen.BOOT_FAILED, PLAN.run)
    assert by_token.data == {
        "client": make.ADDRESS,
        "stage": "kernel",
        "try": "5",
        "errno": "0x2d0c613b",
        "platform": "efi",
        "see": "https://ipxe.org/2d0c613b",
        "reason": "iPXE could not get past its kernel: 0x2d0c613b, see https://ipxe.org/2d0c613b",
    }
    assert (at_entry.kind, at_entry.run) == (Seen.BOOT_TROUBLE, PLAN.run)
    assert at_entry.data["reason"] == "iPXE could not get past its script: x y"


def test_trouble_by_the_run_s_token_ends_the_run_here_and_a_flood_of_it_is_one_row(ask, stores):
    for _ in range(50):
        answer = ask.get(f"{path(Access.CALLBACK, 'trouble')}?{TOLD}", environ_base=MINE)
        assert answer.text == "ok\n"

    assert seen(stores) == [Seen.BOOT_FAILED]
    assert stores.journal.phase(PLAN.run) is Phase.FAILED
    stores.journal.flush()
    assert stores.journal.counters() == {"boot-failed": 50}


def test_a_script_that_gave_up_is_not_served_again_and_what_it_would_start_may_not_go_on(ask):
    opened = ask.get(path(Access.SCRIPT, "script"), environ_base=MINE)
    ask.get(f"{path(Access.CALLBACK, 'trouble')}?{TOLD}", environ_base=MINE)

    closed = ask.get(path(Access.SCRIPT, "script"), environ_base=MINE)
    manifest = ask.get(path(Access.SEED, "manifest"), environ_base=MINE)
    started = ask.post(path(Access.CALLBACK, "started"), environ_base=MINE)

    assert "nothing to install" not in opened.text
    assert "nothing to install" in closed.text
    assert (manifest.status_code, started.status_code) == (404, 410)


def test_trouble_at_the_entry_closes_nothing(ask, stores):
    ask.get(f"/ipxe/{make.MAC}/trouble?{TOLD}", environ_base=MINE)

    served = ask.get(path(Access.SCRIPT, "script"), environ_base=MINE)
    assert "nothing to install" not in served.text


def test_trouble_of_an_older_script_stops_no_install_that_has_begun(ask, stores):
    ask.post(path(Access.CALLBACK, "started"), environ_base=MINE)

    ask.get(f"{path(Access.CALLBACK, 'trouble')}?{TOLD}", environ_base=MINE)

    assert stores.journal.phase(PLAN.run) is Phase.INSTALLING
    assert ask.post(path(Access.CALLBACK, "progress"), environ_base=MINE).status_code == 200


@pytest.mark.parametrize("url", [path(Access.CALLBACK, "trouble"), f"/ipxe/{make.MAC}/trouble"])
def test_trouble_of_a_stranger_is_not_this_machine_s(ask, stores, url):
    assert ask.get(f"{url}?{TOLD}", environ_base=STRANGER).text == "ok\n"

    assert seen(stores) == [Seen.STRANGE_REQUEST]
