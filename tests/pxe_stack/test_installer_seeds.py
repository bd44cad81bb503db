"""Seeds of installers over boot HTTP: to their machine, in their window, and to nobody else."""

import pytest

from models import bootplan
from models.bootplan import Access
from models.installers import Installer
from models.observations import Seen
from pxe_stack import http, installers
from pxe_stack.site_directory import Stores
from tests.pxe_stack import installed, make

MINE = {"REMOTE_ADDR": make.ADDRESS}
STRANGER = {"REMOTE_ADDR": "10.77.0.66"}
SECRET = "$6$salt$" + "x" * 40
ORDER = installed.order(f"users: [{{name: ada, passwd: '{SECRET}'}}]")
SEEDS = [
    (kind, name)
    for kind in (Installer.AUTOINSTALL, Installer.PRESEED)
    for name in installed.documents(kind, ORDER)
    if name.startswith("seed/")
]
every_seed = pytest.mark.parametrize(("kind", "name"), SEEDS, ids=str)


@pytest.fixture
def stores(tmp_path):
    opened = Stores(tmp_path, make.AGENT)
    yield opened
    opened.close()


@pytest.fixture
def ask(stores):
    return http.app(make.sources(stores)).test_client()


def planned(stores, kind):
    plan = make.plan(documents=installers.of(kind, ORDER), version=2)
    stores.plans.put(plan)
    return plan


def path(plan, access, name):
    return bootplan.url(plan, make.KEY, access, name).removeprefix(make.URL)


@every_seed
def test_a_seed_is_the_same_bytes_however_it_is_asked_for(ask, stores, kind, name):
    url = path(planned(stores, kind), Access.SEED, name)

    whole = ask.get(url, environ_base=MINE)
    head = ask.head(url, environ_base=MINE)
    part = ask.get(url, environ_base=MINE, headers={"Range": "bytes=3-8"})

    assert whole.status_code == head.status_code == 200
    assert bootplan.SLOT_MARK not in whole.text
    assert head.headers["Content-Length"] == str(len(whole.data))
    assert (part.status_code, part.data) == (206, whole.data[3:9])


@every_seed
def test_a_seed_is_there_while_its_machine_installs_and_never_after(ask, stores, kind, name):
    plan = planned(stores, kind)
    url = path(plan, Access.SEED, name)
    said = []

    for report in ("started", "installed"):
        ask.post(path(plan, Access.CALLBACK, report), environ_base=MINE)
        said.append(ask.get(url, environ_base=MINE).status_code)

    assert said == [200, 404]


@every_seed
def test_a_seed_closes_when_its_machine_failed(ask, stores, kind, name):
    plan = planned(stores, kind)

    ask.post(path(plan, Access.CALLBACK, "failed"), environ_base=MINE, data={"reason": "x"})

    assert ask.get(path(plan, Access.SEED, name), environ_base=MINE).status_code == 404


@every_seed
@pytest.mark.parametrize(
    "asked",
    [(Access.SEED, STRANGER), (Access.SCRIPT, MINE), (Access.CALLBACK, MINE)],
    ids=["elsewhere", "by-the-scripts-token", "by-the-callbacks-token"],
)
def test_a_stranger_gets_the_constant_answer(ask, stores, kind, name, asked):
    access, who = asked
    url = path(planned(stores, kind), access, name)

    answer = ask.get(url, environ_base=who)

    nothing = ask.get("/boot/x/y/z", environ_base=who)
    assert (answer.status_code, answer.data) == (nothing.status_code, nothing.data)
    assert next(row.kind for _, row in stores.journal.pending(0, 9)) is Seen.STRANGE_REQUEST


def test_no_row_of_the_journal_and_no_script_holds_what_a_seed_does(ask, stores):
    for kind in (Installer.AUTOINSTALL, Installer.PRESEED):
        plan = planned(stores, kind)
        for name in ("script", "seed/user-data"):
            access = Access.SCRIPT if name == "script" else Access.SEED
            body = ask.get(path(plan, access, name), environ_base=MINE).text
            assert (SECRET in body) == (name != "script")

    rows = str(list(stores.journal.pending(0, 100)))

    assert SECRET not in rows
    assert bootplan.token(make.KEY, make.plan().run, Access.SEED) not in rows
