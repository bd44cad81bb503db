"""EC2-style metadata: what cloud-init's Ec2 data source asks for, and who is given it."""

import pytest

from models import bootplan
from models.bootplan import Access
from pxe_stack import metadata, render
from tests.pxe_stack import make, web
from tests.pxe_stack.test_http_server import body, statuses

KEYS = ("ssh-ed25519 AAAA one", "ssh-rsa BBBB two")


def plan(**changes):
    order = render.Order(
        hostname="node-01",
        mac=make.MAC,
        addressing=web.HERE,
        kernel_path="k",
        initrd_path="i",
        image_path="d",
        image_sha256="0" * 64,
        image_size=1,
        instance_id="i-0123",
        disk_serial="S",
        ssh_keys=KEYS,
    )
    return make.plan(addressing=web.HERE, documents=render.documents(order), **changes)


TOLD = {
    "": "meta-data/\nuser-data",
    "meta-data": "instance-id\nhostname\nlocal-hostname\nlocal-ipv4\nmac\npublic-keys/",
    "meta-data/instance-id": "i-0123",
    "meta-data/hostname": "node-01",
    "meta-data/local-hostname": "node-01",
    "meta-data/local-ipv4": "127.0.0.1",
    "meta-data/mac": make.MAC,
    "meta-data/public-keys/": "0=sprout-0\n1=sprout-1",
    "meta-data/public-keys/0/": "openssh-key",
    "meta-data/public-keys/1/openssh-key": KEYS[1] + "\n",
}


@pytest.mark.parametrize("version", metadata.VERSIONS)
@pytest.mark.parametrize("path", TOLD)
def test_metadata_is_what_the_seed_says(version, path):
    assert metadata.document(plan(), f"{version}/{path}").body == TOLD[path]


def test_user_data_is_the_seed_s():
    told = plan()

    assert metadata.document(told, "latest/user-data") is told.document("seed/user-data")


@pytest.mark.parametrize("path", ["meta-data/nothing", "meta-data/instance-id/x", "dynamic", "../"])
def test_there_is_nothing_else(path):
    assert metadata.document(plan(), f"latest/{path}") is None


def test_a_plan_without_a_seed_has_no_metadata():
    assert metadata.document(make.plan(documents=()), "latest/meta-data/instance-id") is None


@pytest.fixture
def boot(tmp_path):
    with web.serving(tmp_path, "http") as made:
        made.stores.plans.put(plan(version=2))
        yield made


def test_the_machine_is_known_by_its_address_alone(boot):
    came = boot.get("/2009-04-04/meta-data/instance-id")
    other = boot.tell(
        b"GET /latest/meta-data/ HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n", "127.0.0.9"
    )

    assert (statuses(came), body(came)) == ([200], b"i-0123")
    assert (statuses(other), body(other)) == ([404], b"not found\n")


def test_metadata_ends_with_the_seed_s_window(boot):
    url = bootplan.url(plan(), make.KEY, Access.CALLBACK, "installed").removeprefix(make.URL)
    boot.tell(f"POST {url} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())

    assert statuses(boot.get("/latest/user-data")) == [404]
    assert statuses(boot.get("/2021-03-23/meta-data/instance-id")) == [404]


def test_a_token_opens_it_too(boot):
    url = bootplan.url(plan(), make.KEY, Access.SEED, "latest/meta-data/mac")

    assert body(boot.get(url.removeprefix(make.URL))) == make.MAC.encode()
    assert statuses(boot.get(url.removeprefix(make.URL).replace("/boot/", "/boot/0"))) == [404]
