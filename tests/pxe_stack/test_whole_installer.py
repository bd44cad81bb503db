"""The stand-in of the Proxmox VE installer against boot HTTP, and where it stops as theirs does."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from actors.drivers import installer_iso
from models.bootplan import File
from models.installer_calls import Caller
from models.installers import Installer as Kind
from models.observations import Seen
from pxe_stack import toml
from tests.actors.installer_isos import an_iso
from tests.pxe_stack import installed, make, web
from tests.pxe_stack.test_proxmox import order
from tests.services.pve_board import Board
from tests.services.pve_installer import Installer, Mode, Stopped

MACS = (make.MAC, "52:54:00:00:00:02")
HERE = "127.77.0.10"


@pytest.fixture
def site(tmp_path):
    """Boot HTTP with all that one rebuild needs."""
    made = order()
    files = {made.kernel_path: b"kernel", made.initrd_path: b"initrd"}
    an_iso(tmp_path / "source.iso")
    installer_iso.made(tmp_path / "source.iso", tmp_path)
    files[made.iso_path] = (tmp_path / "proxmox.iso").read_bytes()
    plan = make.plan(
        version=2,
        documents=tuple(installed.documents(Kind.PROXMOX, made).values()),
        addressing=replace(web.HERE, address=HERE),
        files=(File(role="iso", path=made.iso_path, sha256="0" * 64),),
        caller=Caller(macs=MACS),
        ssh_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVw run",
    )
    (tmp_path / "boot").mkdir()
    with web.serving(tmp_path / "boot") as boot:
        for path, content in files.items():
            boot.put_file(path, content)
        boot.stores.plans.put(plan)
        yield boot


def installer(folder, port, **more):
    folder.mkdir(exist_ok=True)
    board = Board(macs=MACS, cidr=f"{HERE}/8")
    return Installer(board, folder, at=("127.0.0.1", port), **more)


def test_a_whole_rebuild_goes_from_the_entry_to_the_phone_home(site, tmp_path):
    host = installer(tmp_path / "host", site.port, source=HERE)

    answer = host.run(make.URL)
    pending = host.first_boot()

    assert pending == 0
    assert answer["global"]["fqdn"] == "node-01.rack.test"
    assert (host.folder / "vmlinuz").read_bytes() == b"kernel"
    assert (host.folder / "initrd.img").read_bytes() == b"initrd"
    assert "ssh-ed25519 AAAAC3Nz" in (host.folder / "authorized_keys").read_text()
    [home] = site.rows(Seen.PHONED_HOME)
    assert (home.data["address"], home.data["client"]) == (HERE, HERE)
    assert site.rows(Seen.STRANGE_REQUEST) == []
    [told] = site.rows(Seen.INSTALLED)
    assert len(told.data["host_keys"]) == len(host.board.host_keys)


def test_a_first_boot_that_was_heard_is_not_run_again(site, tmp_path):
    host = installer(tmp_path / "host", site.port, source=HERE)
    host.run(make.URL)

    assert [host.first_boot(), host.first_boot()] == [0, 0]

    assert len(site.rows(Seen.PHONED_HOME)) == 1


ANSWER = {
    "global": {
        "country": "us",
        "keyboard": "en-us",
        "fqdn": "a.b",
        "mailto": "a@b",
        "timezone": "UTC",
        "root_password_hashed": "$6$x$y",
    },
    "network": {"source": "from-dhcp"},
    "disk_setup": {"filesystem": "ext4", "disk-list": ["sda"]},
}


class Site(HTTPServer):
    """Answers each path with what *says* has for it: status, kind and body."""

    def __init__(self, says):
        super().__init__(("127.0.0.1", 0), Handler)
        self.says, self.asked = says, []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, list(self.headers.items()), body))
        status, kind, said = self.server.says[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_GET(self):
        self.do_POST()

    def log_message(self, *words): ...


@pytest.fixture
def against(tmp_path):
    """Return a function that makes an installer of a site which says so."""
    made = []

    def run(**says):
        server = Site({f"/{name}": said for name, said in says.items()})
        made.append((server, threading.Thread(target=server.serve_forever, args=(0.05,))))
        made[-1][1].start()
        return installer(tmp_path / "host", server.server_port), server

    yield run
    for server, thread in made:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status=200, kind="application/json", body=None):
    return (status, kind, json.dumps(ANSWER).encode() if body is None else body)


ASK = Mode("http://site/answer", "run:secret")


def test_the_answer_is_asked_for_once_in_the_installers_own_words(against):
    host, server = against(answer=answering())

    answer = host.ask(ASK)

    [(method, path, fields, body)] = server.asked
    assert (method, path) == ("POST", "/answer")
    assert [each for each in fields if each[0] in {"Content-Type", "Accept", "Authorization"}] == [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Accept", "application/json, application/toml;q=0.5"),
        ("Authorization", "Bearer run:secret"),
    ]
    assert json.loads(body)["$schema"] == {"version": "1.0"}
    assert json.loads(body)["network_interfaces"][1] == {"link": "enp3s0", "mac": MACS[1]}
    assert answer["disk-setup"]["disk-list"] == ["sda"]


def test_toml_is_read_unless_it_is_said_to_be_json(against):
    host, _ = against(answer=answering(kind="text/plain", body=toml.dump(ANSWER).encode()))

    assert host.ask(ASK)["network"] == {"source": "from-dhcp"}


def changed(place, **more):
    return json.dumps({**ANSWER, place: {**ANSWER.get(place, {}), **more}}).encode()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answering(404), "404"),
        (answering(500), "500"),
        (answering(307), "307"),
        (answering(204, body=b""), "204"),
        (answering(body=b"x" * ((10 << 20) + 1)), "more than 10485760 bytes"),
        (answering(body=b"{"), "Expecting"),
        (answering(kind="text/plain"), "Invalid"),
        (answering(body=changed("network", routes=[])), "unknown key network.routes"),
        (answering(body=changed("sprout")), "unknown key the answer.sprout"),
        (answering(body=changed("global", **{"root-password": "secret-12"})), "exactly one of"),
        (answering(body=changed("network", source="from-nowhere")), "cannot be"),
        (answering(body=json.dumps({"global": {}}).encode()), "lacks"),
    ],
)
def test_an_answer_that_it_would_not_take_stops_the_host(against, said, why):
    host, server = against(answer=said)

    with pytest.raises(Stopped, match=why):
        host.ask(ASK)

    assert len(server.asked) == 1


def told(**general):
    whole = {**ANSWER, "global": {**ANSWER["global"], **general}}
    hook = {"url": "http://site/installed", "auth-token": "word"}
    first = {"source": "from-url", "url": "http://site/script", "ordering": "fully-up"}
    more = {"post-installation-webhook": hook, "first-boot": first}
    return {**whole, "disk-setup": ANSWER["disk_setup"], **more}


SCRIPT = (200, "text/x-shellscript", b"#!/bin/sh\nexit 3\n")


def test_the_webhook_is_told_in_the_installers_own_words_and_the_script_taken_before(against):
    host, server = against(script=SCRIPT, installed=(201, "text/plain", b""))

    assert host.install(told()) == "reboot"

    (first, _, _, _), (_, _, fields, body) = server.asked
    document = json.loads(body)
    assert first == "GET"
    assert dict(fields)["Content-Type"] == "application/json; charset=utf-8"
    assert (document["$schema"], document["token"]) == ({"version": "1.2"}, "word")
    assert document["ssh-public-host-keys"].keys() == {"ecdsa", "ed25519", "rsa"}
    assert host.first_boot() == 3
    assert (host.folder / "pending-first-boot-setup").exists()


@pytest.mark.parametrize(
    ("script", "installed", "step"),
    [
        ((404, "text/plain", b""), (200, "text/plain", b""), "first-boot script"),
        ((200, "text/plain", b"#" * ((1 << 20) + 1)), (200, "text/plain", b""), "/script"),
        (SCRIPT, (500, "text/plain", b""), "webhook"),
        (SCRIPT, (307, "text/plain", b""), "webhook"),
    ],
    ids=["no-script", "large-script", "webhook-fails", "webhook-is-sent-on"],
)
def test_an_installation_that_cannot_report_or_has_no_script_stops_the_host(
    against, script, installed, step
):
    host, _ = against(script=script, installed=installed)

    with pytest.raises(Stopped) as caught:
        host.install(told())

    assert caught.value.step == step


def test_a_host_that_reboots_on_errors_does_so_after_its_webhook_and_not_before(against):
    anyway = told(**{"reboot-on-error": True})
    host, server = against(script=SCRIPT, installed=(500, "text/plain", b""))

    assert host.install(anyway) == "reboot"

    server.says["/script"] = (404, "text/plain", b"")
    with pytest.raises(Stopped):
        host.install(anyway)


def test_a_site_that_is_not_there_stops_the_host(tmp_path):
    with pytest.raises(Stopped, match="ConnectionRefused"):
        installer(tmp_path / "host", 1).ask(ASK)


def test_an_iso_that_nobody_prepared_stops_the_host(tmp_path, against):
    path = an_iso(tmp_path / "stock.iso")
    script = (
        "#!ipxe\nkernel http://site/vmlinuz rw proxmox-start-auto-installer || goto failed\n"
        "initrd http://site/iso proxmox.iso || goto failed\nboot\n"
    )
    host, server = against(
        vmlinuz=(200, "x", b"kernel"), iso=(200, "x", path.read_bytes()), answer=answering()
    )
    server.says[f"/ipxe/{MACS[0]}"] = (200, "text/plain", script.encode())

    with pytest.raises(Stopped, match="auto-installer-mode"):
        host.run("http://site")
