"""The boot contract: whatever an answer, a script or a seed can name is served.

Made from the tables: architectures, loaders and aliases, templates, callbacks.
"""

import re
import subprocess

import pytest

from models import bootplan
from models.bootplan import Access
from pxe_stack import boot as contract
from pxe_stack import firmware, packets, render, scripts, wire
from pxe_stack.dhcp_boot import Server, boot_of
from pxe_stack.loaders import Loaders
from tests.pxe_stack import make, web
from tests.pxe_stack.test_http_server import body, statuses

SEEDS = ("meta-data", "user-data", "vendor-data", "network-config")
"""What the deploy system, and cloud-init's NoCloud, append to the address of the seed."""
FILES = {"kernel_path": "os/vmlinuz", "initrd_path": "os/initrd.img", "image_path": "os/disk.raw"}


@pytest.fixture
def folder(tmp_path):
    """A loader for every name in the table."""
    for file in {file for files in firmware.LOADERS.values() for file in files}:
        (tmp_path / file).write_bytes(b"MZ" + file.encode())
    return tmp_path


@pytest.fixture
def boot(folder):
    """Boot HTTP with a plan of everything that a plan can hold, and its URL in it."""
    with web.serving(folder) as made:
        for path in FILES.values():
            made.put_file(path, path.encode() * 100)
        order = render.Order(
            hostname="node-01",
            mac=make.MAC,
            addressing=web.HERE,
            image_sha256="0" * 64,
            image_size=1,
            instance_id="i-1",
            disk_serial="S",
            **FILES,
        )
        plan = make.plan(
            addressing=web.HERE,
            documents=render.documents(order),
            boot_base_url=made.url,
            version=2,
        )
        made.stores.plans.put(plan)
        yield made


def planned(boot):
    return boot.stores.directory.by_mac(make.MAC).plan


def asking(code: int, vendor: str, *options: tuple[int, bytes]) -> packets.Request:
    told = [
        (60, f"{vendor}:Arch:{code:05d}:UNDI:003016".encode()),
        (93, code.to_bytes(2, "big")),
        *options,
    ]
    return packets.parse(wire.request("discover", make.MAC, options=told))


def server(boot) -> Server:
    return Server(address="127.0.0.1", tftp="127.0.0.1", boot_url=boot.url, key=make.KEY)


@pytest.mark.parametrize("vendor", ["PXEClient", "HTTPClient"])
@pytest.mark.parametrize("code", firmware.ARCHITECTURES)
def test_the_loader_that_dhcp_names_is_served(boot, folder, code, vendor):
    told = boot_of(asking(code, vendor), None, server(boot))

    assert told.file
    if told.tftp:
        assert Loaders((folder,)).find(told.file) is not None
    else:
        assert statuses(boot.get(told.file.removeprefix(boot.url))) == [200]


@pytest.mark.parametrize("name", [*firmware.LOADERS, *firmware.ALIASES])
def test_every_loader_and_every_other_name_of_it_is_served_both_ways(boot, folder, name):
    content = Loaders((folder,)).find(name).data

    assert body(boot.get(f"/loaders/{name}")) == content


def urls(text: str) -> set[str]:
    """Return the addresses in *text*, without the words that iPXE puts in."""
    return {found.partition("?")[0] for found in re.findall(r"https?://[^\s\"'<>#]+", text)}


def test_every_path_that_grub_is_given_is_served(boot):
    """In its configuration, in the machine's entry, and in the run's script: of one server."""
    assert statuses(boot.get("/grub/grub.cfg")) == [200]
    first = scripts.template("loaders/sprout-grub.cfg")
    [entry] = re.findall(r"source (\S+)", first)
    chain = body(boot.get(entry.replace("${net_default_mac}", make.MAC))).decode()
    [script] = re.findall(r"source (\S+)", chain)
    commands = body(boot.get(script)).decode()

    files = re.findall(r"(?:linux|initrd) (/[^\s;]+)", commands)
    told = [path.partition("?")[0] for path in re.findall(r'cat "(\S+)"', chain + commands)]

    assert len(files) == len(told) == 2
    for path in (*files, *told):
        assert statuses(boot.get(path)) == [200], path


def is_ours(boot, url: str) -> bool:
    return url.startswith(f"{boot.url}/")


def named(boot) -> set[str]:
    """Return every address of ours that a document or a script names."""
    plan = planned(boot)
    values = bootplan.slot_values(plan, make.KEY)
    texts = [bootplan.fill(each.body, values) for each in plan.documents]
    script = bootplan.url(plan, make.KEY, Access.SCRIPT, "script")
    texts += [
        scripts.local_boot(boot.url),
        scripts.unknown_machine(),
        scripts.chain(script, f"{boot.url}/ipxe/{make.MAC}/trouble"),
        *(f"{boot.url}/boot/{plan.run}/{values['run.token.seed']}/{d.name}" for d in plan.documents
          if d.access is Access.SEED),
    ]  # fmt: skip
    return {url for text in texts for url in urls(text) if is_ours(boot, url)}


def test_every_address_in_a_document_or_a_script_is_served(boot):
    found = named(boot)
    fetched = {url for url in found if url.rsplit("/", 1)[1] not in {"", *POSTED}}

    assert len(fetched) >= 12
    # The last: a run whose script tells of trouble is closed.
    for url in sorted(fetched, key=lambda url: (url.endswith("/trouble"), url)):
        assert statuses(boot.get(url.removeprefix(boot.url))) == [200], url


POSTED = set(contract.CALLBACKS[bootplan.Action.INSTALL])


def test_every_address_that_others_append_to_is_served(boot):
    prefixes = {url for url in named(boot) if url.endswith("/")}

    assert {url.rsplit("/", 2)[1] == "seed" for url in prefixes} == {True, False}
    for url in prefixes:
        path = url.removeprefix(boot.url)
        if path.endswith("/seed/"):
            assert all(statuses(boot.get(path + name)) == [200] for name in SEEDS)


@pytest.mark.parametrize("name", sorted(POSTED))
def test_every_callback_is_taken(boot, name):
    url = bootplan.url(planned(boot), make.KEY, Access.CALLBACK, name).removeprefix(boot.url)
    came = boot.tell(f"POST {url} HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b".encode())

    assert statuses(came) == [200]


def test_what_ipxe_is_given_by_dhcp_is_a_script(boot):
    known = boot.stores.directory.by_mac(make.MAC)
    ipxe = asking(7, "PXEClient", (77, b"iPXE"))

    for who in (known, None):
        url = boot_of(ipxe, who, server(boot)).file
        came = boot.get(url.removeprefix(boot.url))
        assert body(came).startswith(b"#!ipxe")


GRUBS = ["grub/chain", "grub/install", "grub/local-boot", "grub/unknown", "loaders/sprout-grub"]


@pytest.mark.parametrize("name", GRUBS)
def test_no_script_of_grub_has_a_loop_without_end(name):
    text = scripts.template(f"{name}.cfg")

    assert not re.search(r"\b(while|until|function|menuentry)\b", text)


def test_grub_can_read_what_a_run_and_a_stranger_are_given(boot, tmp_path):
    plan = planned(boot)
    values = bootplan.slot_values(plan, make.KEY)
    texts = [
        bootplan.fill(plan.document(scripts.GRUB.script).body, values),
        scripts.template("loaders/sprout-grub.cfg"),
        scripts.grub_local_boot(),
        scripts.grub_unknown_machine(),
        scripts.grub_chain("http://s/boot/r/t/script.grub", "http://s/grub/m/trouble"),
    ]
    for text in texts:
        (tmp_path / "grub.cfg").write_text(text)
        subprocess.run(["grub-script-check", tmp_path / "grub.cfg"], check=True)
        assert text.endswith("exit\n")


@pytest.mark.parametrize("name", ["chain", "install", "local-boot", "unknown"])
def test_no_script_goes_back_without_counting(name):
    """A label that is jumped back to lies before a count of tries that ends it."""
    lines = scripts.template(f"ipxe/{name}.ipxe").splitlines()
    labels = {line[1:]: n for n, line in enumerate(lines) if line.startswith(":")}

    for n, line in enumerate(lines):
        for label in re.findall(r"goto (\w+)", line):
            body_of_loop = lines[labels[label] : n]
            if labels[label] < n:
                assert "inc tries" in body_of_loop
                assert any(re.match(r"iseq \$\{tries\} \d+ && goto", each) for each in body_of_loop)
