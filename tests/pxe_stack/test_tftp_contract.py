"""What GRUB is answered by TFTP: the boot contract's own answers, and nobody else's."""

import pytest

from models import bootplan
from models.bootplan import Access
from models.observations import Seen, Source
from pxe_stack.site_directory import Stores
from pxe_stack.tftp_contract import LARGEST, Contract, masked
from tests.pxe_stack import make

PLAN = make.plan(documents=(*make.plan().documents, make.GRUB))
RUN = f"boot/{PLAN.run}/{bootplan.token(make.KEY, PLAN.run, Access.SCRIPT)}"
TELL = f"boot/{PLAN.run}/{bootplan.token(make.KEY, PLAN.run, Access.CALLBACK)}/trouble"
SPELLINGS = [
    "grub/grub.cfg-01-52-54-00-00-00-01",
    "/grub/grub.cfg-01-52:54:00:00:00:01",
    "/grub/x86_64-efi/grub.cfg-01-52-54-00-00-00-01",
    "grub/grub.cfg-01-52-54-00-00-00-01".upper().replace("GRUB", "grub").replace("CFG", "cfg"),
]


@pytest.fixture
def stores(tmp_path):
    made = Stores(tmp_path, make.AGENT)
    made.plans.put(PLAN)
    yield made
    made.close()


@pytest.fixture
def contract(stores):
    return Contract(make.sources(stores, source=Source.TFTP))


def rows(stores):
    return [seen for _, seen in stores.journal.pending(0, 100)]


def put(stores, tmp_path, content=b"kernel", size=None):
    path = tmp_path / "file"
    path.write_bytes(content)
    stores.plans.put_file("os/vmlinuz", path, sha256="0" * 64, size=size or len(content), chunks="")
    return path


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_machine_is_led_to_its_script_by_its_mac(contract, name):
    found = contract.find(name, make.ADDRESS)

    assert f"source /{RUN}/script.grub\n" in found.data.decode()


def test_the_script_is_served_filled_and_is_a_row_of_the_timeline(contract, stores):
    found = contract.find(f"/{RUN}/script.grub", make.ADDRESS)

    seed = bootplan.token(make.KEY, PLAN.run, Access.SEED)
    assert found.data == f"linux /artifacts/os/vmlinuz m={seed}\nboot\n".encode()
    [row] = rows(stores)
    assert (row.kind, row.source, row.run) == (Seen.SCRIPT_SERVED, Source.TFTP, PLAN.run)


def test_no_token_is_in_the_name_of_what_was_sent(contract):
    found = contract.find(f"/{RUN}/script.grub", make.ADDRESS)

    assert found.name == f"boot/{PLAN.run}/***/script.grub"
    assert masked(f"//{RUN}/none") == f"//boot/{PLAN.run}/***/none"


@pytest.mark.parametrize(
    ("name", "client"),
    [
        (f"{RUN}/script.grub", "10.77.0.99"),
        (f"boot/{PLAN.run}/{'0' * 32}/script.grub", make.ADDRESS),
        ("grub/grub.cfg-01-52-54-00-00-00-01", "10.77.0.99"),
    ],
)
def test_from_elsewhere_or_without_its_token_the_disk_is_started(contract, stores, name, client):
    found = contract.find(name, client)

    assert b"nothing to install" in found.data
    assert Seen.SCRIPT_SERVED not in {row.kind for row in rows(stores)}


@pytest.mark.parametrize("kind", [Seen.INSTALLED, Seen.INSTALL_FAILED])
def test_a_run_that_is_over_is_never_offered_again(contract, stores, kind):
    stores.journal.append(make.seen(Seen.INSTALL_STARTED, run=PLAN.run))
    stores.journal.append(make.seen(kind, run=PLAN.run))

    for name in (*SPELLINGS, f"{RUN}/script.grub"):
        assert b"nothing to install" in contract.find(name, make.ADDRESS).data


def test_a_stranger_is_told_so(contract):
    found = contract.find("grub/grub.cfg-01-52-54-00-99-99-99", "10.77.0.99")

    assert b"does not know this machine" in found.data


def test_trouble_is_told_by_fetching_a_file_and_ends_the_run(contract, stores):
    found = contract.find(f"/{TELL}?stage=kernel&try=5&platform=efi&loader=grub", make.ADDRESS)

    assert found.data == b"ok\n"
    [row] = rows(stores)
    assert (row.kind, row.run) == (Seen.BOOT_FAILED, PLAN.run)
    assert row.data["reason"] == "GRUB could not get past its kernel: no reason given"


def test_an_artifact_is_served_by_its_path_and_read_once(contract, stores, tmp_path):
    put(stores, tmp_path)

    assert contract.find("/artifacts/os/vmlinuz", "10.77.0.99").data == b"kernel"
    assert contract.find("artifacts/os/vmlinuz", "10.77.0.99") is contract.find(
        "artifacts/os/vmlinuz", make.ADDRESS
    )


def test_an_artifact_that_was_changed_is_not_read(contract, stores, tmp_path):
    put(stores, tmp_path).write_bytes(b"another")

    with pytest.raises(OSError, match="changed"):
        contract.find("artifacts/os/vmlinuz", make.ADDRESS)


def test_an_image_is_too_large_for_tftp(contract, stores, tmp_path):
    put(stores, tmp_path, size=LARGEST + 1)

    assert contract.find("artifacts/os/vmlinuz", make.ADDRESS) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "grub",
        "grub/",
        "boot",
        "boot/",
        "artifacts/",
        "artifacts/../file",
        "artifacts/os/../os/vmlinuz",
        "healthz",
        f"ipxe/{make.MAC}",
        f"{RUN}/manifest",
        f"{RUN}/script",
        f"boot/{PLAN.run}/{bootplan.token(make.KEY, PLAN.run, Access.SEED)}/manifest",
        "grub/x86_64-efi/command.lst",
        "grub/grub.cfg-01-",
        "grub/52:54:00:00:00:01/troubles",
        "\0",
        "grub/" + "x" * 900,
    ],
)
def test_nothing_else_is_there(contract, name):
    found = contract.find(name, make.ADDRESS)

    assert found is None or b"does not know this machine" in found.data
