"""What can never be right is refused with its field and what to do; only the audit knows of it."""

from contextlib import closing
from uuid import UUID, uuid4

import psycopg2
import pytest

from models.database import borrowed
from tests.edge import make
from tests.edge.make import interface
from tests.models import make as domain

pytestmark = pytest.mark.services

NOWHERE = str(uuid4())


@pytest.fixture
def rows(database_url):
    """Counts the rows of every table."""

    def count():
        with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            tables = [name for (name,) in cursor.fetchall()]
            found = {}
            for table in tables:
                cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 - names of ours
                (found[table],) = cursor.fetchone()
        return found

    return count


@pytest.fixture
def scene(api, site):
    """A site with a network, an artifact and a machine that an agent serves."""
    api.made("/v1/networks", make.network(site["id"]))
    api.made("/v1/artifacts", make.artifact())
    api.made("/v1/images", make.image())
    api.made("/v1/profiles", make.profile())
    api.made("/v1/machines", make.machine(site["id"]))
    return site["id"]


@pytest.fixture
def served_site(scene):
    with borrowed():
        domain.Agent(UUID(scene))
    return scene


@pytest.fixture
def refused(api, rows):
    """Sends a body; it must be refused at *pointer*, and leave an audit row alone."""

    def send(path, body, status, pointer, method="post"):
        before = rows()

        answer = getattr(api, method)(path, body, headers={"X-Request-Id": "bad"})

        assert answer.status_code == status, answer.text
        assert answer.mimetype == "application/problem+json"
        told = [fault["pointer"].replace("\x00", "\ufffd") for fault in answer.json["errors"]]
        assert pointer in told
        assert all(fault["hint"] for fault in answer.json["errors"])
        assert rows() == before | {"audit": before["audit"] + 1}
        row = api.audit()[0]
        assert (row["outcome"], row["requestId"]) == ("refused", "bad")
        assert pointer in row["data"]["pointers"]

    return send


BAD_SITES = {
    "slug of capitals": (make.site(slug="AMS"), 422, "/slug"),
    "slug taken": (make.site(), 409, "/slug"),
    "no slug": ({"name": "A"}, 422, "/slug"),
    "no name": (make.site(slug="b", name=""), 422, "/name"),
    "unknown field": (make.site(slug="b", slugg="b"), 422, "/slugg"),
    "line break": (make.site(slug="b", name="a\nb"), 422, "/name"),
    "null byte": (make.site(slug="b", name="a\x00"), 422, "/name"),
    "null byte in an unknown field": (make.site(slug="b", **{"a\x00": 1}), 422, "/a\ufffd"),
    "labels of numbers": (make.site(slug="b", labels={"a/b~": 1}), 422, "/labels/a~1b~0"),
    "a name too long": (make.site(slug="b", name="x" * 256), 422, "/name"),
}


@pytest.mark.parametrize("case", BAD_SITES.values(), ids=BAD_SITES)
def test_a_bad_site(refused, site, case):
    refused("/v1/sites", *case)


BAD_NETWORKS = {
    "CIDR of no address": ({"cidr": "10.77.0/24"}, 422, "/cidr"),
    "CIDR with host bits": ({"cidr": "10.77.0.1/24"}, 422, "/cidr"),
    "CIDR of IPv6": ({"cidr": "fd00::/64"}, 422, "/cidr"),
    "CIDR as number": ({"cidr": 10}, 422, "/cidr"),
    "start outside": ({"rangeStart": "10.78.0.10"}, 422, "/rangeStart"),
    "end outside": ({"rangeEnd": "10.78.0.10"}, 422, "/rangeEnd"),
    "end is broadcast": ({"rangeEnd": "10.77.0.255"}, 422, "/rangeEnd"),
    "range backwards": ({"rangeEnd": "10.77.0.5"}, 422, "/rangeEnd"),
    "gateway outside": ({"gateway": "10.78.0.1"}, 422, "/gateway"),
    "gateway in range": ({"gateway": "10.77.0.50"}, 422, "/gateway"),
    "odd DNS": ({"dns": ["10.77.0.1", "dns"]}, 422, "/dns/1"),
    "odd purpose": ({"purpose": "fun"}, 422, "/purpose"),
    "VLAN too high": ({"vlan": 4095}, 422, "/vlan"),
    "VLAN as text": ({"vlan": "7"}, 422, "/vlan"),
    "boot URL of another scheme": ({"bootBaseUrl": "ftp://10.77.0.1"}, 422, "/bootBaseUrl"),
    "boot URL with a path": ({"bootBaseUrl": "http://10.77.0.1/x"}, 422, "/bootBaseUrl"),
    "unknown site": ({"siteId": NOWHERE}, 422, "/siteId"),
    "site of no id": ({"siteId": "ams-1"}, 422, "/siteId"),
    "no range": ({"rangeStart": None}, 422, "/rangeStart"),
    "unknown mode": ({"dhcpMode": "half"}, 422, "/dhcpMode"),
    "full without a pool": ({"dhcpMode": "full"}, 422, "/poolStart"),
    "lease of a moment": ({"leaseS": 1}, 422, "/leaseS"),
    "lease as text": ({"leaseS": "3600"}, 422, "/leaseS"),
    "lease of a fraction": ({"leaseS": 3600.5}, 422, "/leaseS"),
    "route without a via": ({"routes": [{"to": "10.9.0.0/16"}]}, 422, "/routes/0/via"),
    "route of a list": ({"routes": [["10.9.0.0/16", "10.77.0.2"]]}, 422, "/routes/0"),
    "too many routes": (
        {"routes": [{"to": f"10.{n}.0.0/16", "via": "10.77.0.2"} for n in range(33)]},
        422,
        "/routes",
    ),
    "strangers as text": ({"strangersBoot": "yes"}, 422, "/strangersBoot"),
}


@pytest.mark.parametrize("case", BAD_NETWORKS.values(), ids=BAD_NETWORKS)
def test_a_bad_network(refused, site, case):
    change, *refusal = case

    refused("/v1/networks", make.network(site["id"], **change), *refusal)


BAD_CHANGES = {
    "no version": ({"leaseS": 60}, 428, "/version"),
    "version of before": ({"version": 2, "leaseS": 60}, 409, "/version"),
    "CIDR": ({"version": 1, "cidr": "10.78.0.0/24"}, 422, "/cidr"),
    "purpose": ({"version": 1, "purpose": "bmc"}, 422, "/purpose"),
    "no name": ({"version": 1, "name": None}, 422, "/name"),
    "empty name": ({"version": 1, "name": ""}, 422, "/name"),
    "no mode": ({"version": 1, "dhcpMode": None}, 422, "/dhcpMode"),
    "no range": ({"version": 1, "rangeStart": None}, 422, "/rangeStart"),
    "no routes": ({"version": 1, "routes": None}, 422, "/routes"),
    "pool of one end": ({"version": 1, "poolStart": "10.77.0.100"}, 422, "/poolEnd"),
}


@pytest.mark.parametrize("case", BAD_CHANGES.values(), ids=BAD_CHANGES)
def test_a_bad_change_of_a_network(api, refused, scene, case):
    body, *refusal = case
    (found,) = api.get("/v1/networks").json["items"]

    refused(f"/v1/networks/{found['id']}", body, *refusal, method="patch")

    assert api.get("/v1/networks").json["items"] == [found]


def test_a_network_that_overlaps_another_names_it(api, refused, scene):
    body = make.network(scene, name="other", cidr="10.77.0.0/25", rangeEnd="10.77.0.20")

    refused("/v1/networks", body, 409, "/cidr")

    assert "provisioning" in api.post("/v1/networks", body).json["detail"]


def test_a_network_whose_name_is_taken(api, refused, scene):
    change = {"cidr": "10.78.0.0/24", "rangeStart": "10.78.0.10", "rangeEnd": "10.78.0.99"}

    refused("/v1/networks", make.network(scene, **change), 409, "/name")


BAD_MACHINES = {
    "MAC too short": ({"interfaces": [interface(macAddress="52:54:00:00:01")]}, 422, 0),
    "MAC of no digits": ({"interfaces": [interface(macAddress="5g:54:00:00:00:01")]}, 422, 0),
    "MAC multicast": ({"interfaces": [interface(macAddress="53:54:00:00:00:01")]}, 422, 0),
    "MAC taken": ({"hostname": "node-02"}, 409, 0),
    "MAC taken, written otherwise": (
        {"hostname": "node-02", "interfaces": [interface(macAddress="52-54-00-00-00-01")]},
        409,
        0,
    ),
    "MAC twice": (
        {
            "hostname": "node-02",
            "interfaces": [
                interface(macAddress="52:54:00:00:00:02"),
                interface(name="eth1", macAddress="52:54:00:00:00:02"),
            ],
        },
        409,
        1,
    ),
}


@pytest.mark.parametrize("case", BAD_MACHINES.values(), ids=BAD_MACHINES)
def test_a_bad_mac(refused, scene, case):
    change, status, place = case
    pointer = f"/interfaces/{place}/macAddress"

    refused("/v1/machines", make.machine(scene, **change), status, pointer)


OTHER = {"hostname": "node-02", "interfaces": [interface(macAddress="52:54:00:00:00:02")]}

BAD_FIELDS = {
    "host name taken": ({"hostname": "node-01"}, 409, "/hostname"),
    "host name taken, in capitals": ({"hostname": "NODE-01"}, 409, "/hostname"),
    "host name of no form": ({"hostname": "node_01"}, 422, "/hostname"),
    "unknown site": ({"siteId": NOWHERE}, 422, "/siteId"),
    "unknown architecture": ({"architecture": "vax"}, 422, "/architecture"),
    "no interfaces": ({"interfaces": []}, 422, "/interfaces"),
    "interfaces of text": ({"interfaces": "eth0"}, 422, "/interfaces"),
    "interface without name": (
        {"interfaces": [{"macAddress": "52:54:00:00:00:02"}]},
        422,
        "/interfaces/0",
    ),
    "flag as text": (
        {"interfaces": [interface(macAddress="52:54:00:00:00:02", pxeEnabled="true")]},
        422,
        "/interfaces/0/pxeEnabled",
    ),
    "memory beyond the column": ({"memoryMib": 1 << 31}, 422, "/memoryMib"),
    "disk below nothing": ({"diskBytes": -1}, 422, "/diskBytes"),
    "BMC of another protocol": ({"bmc": make.bmc(protocol="telnet")}, 422, "/bmc/protocol"),
    "BMC with its password": ({"bmc": make.bmc(password="hunter22")}, 422, "/bmc/password"),
    "BMC without reference": (
        {"bmc": {"address": "http://127.0.0.1:1"}},
        422,
        "/bmc/secretRef",
    ),
    "BMC that is nowhere": ({"bmc": {"secretRef": "env:BMC"}}, 422, "/bmc/address"),
    "IPMI that is nowhere": ({"bmc": {"protocol": "ipmi"}}, 422, "/bmc/address"),
    "BMC of a metadata service": (
        {"bmc": make.bmc(address="169.254.169.254")},
        422,
        "/bmc/address",
    ),
    "BMC of a space": ({"bmc": make.bmc(address=" ")}, 422, "/bmc/address"),
    "BMC of another scheme": ({"bmc": make.bmc(address="ftp://10.0.0.5")}, 422, "/bmc/address"),
    "BMC of no port": ({"bmc": make.bmc(address="https://10.0.0.5:99999")}, 422, "/bmc/address"),
    "IPMI by https": (
        {"bmc": make.bmc(protocol="ipmi", address="https://10.0.0.5")},
        422,
        "/bmc/address",
    ),
    "password for a reference": ({"bmc": make.bmc(secretRef="hunter22")}, 422, "/bmc/secretRef"),
    "root disk of nothing": ({"rootDisk": {"minBytes": 5}}, 422, "/rootDisk"),
    "root disk by name": ({"rootDisk": {"name": "sda"}}, 422, "/rootDisk/name"),
}


@pytest.mark.parametrize("case", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_bad_machine(refused, scene, case):
    change, *refusal = case

    refused("/v1/machines", make.machine(scene, **OTHER | change), *refusal)


@pytest.mark.parametrize("name", ["BMC with its password", "password for a reference"])
def test_a_password_is_repeated_to_nobody(api, scene, name):
    change = BAD_FIELDS[name][0]

    answer = api.post("/v1/machines", make.machine(scene, **OTHER | change))

    assert "hunter22" not in answer.text
    assert "hunter22" not in api.get("/v1/audit").text


BAD_IMAGES = {
    "no checksum": ({"checksums": {"vmlinuz": "0" * 64}}, 422, "/checksums"),
    "checksum of no form": (
        {"checksums": make.image()["checksums"] | {"disk.raw": "beef"}},
        422,
        "/checksums/disk.raw",
    ),
    "path that climbs": ({"kernelPath": "../vmlinuz"}, 422, "/kernelPath"),
    "unknown artifact": ({"artifactRef": "fedora"}, 422, "/artifactRef"),
    "ref of no form": ({"ref": "debian 12"}, 422, "/ref"),
    "size as text": ({"imageBytes": "many"}, 422, "/imageBytes"),
    "no size": ({"imageBytes": None}, 422, "/imageBytes"),
    "ref taken": ({"ref": "debian-12"}, 409, "/ref"),
}


@pytest.mark.parametrize("case", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image(refused, scene, case):
    change, *refusal = case

    refused("/v1/images", make.image(**{"ref": "other"} | change), *refusal)


BAD_PROFILES = {
    "template of another kind": (
        {"cloudConfigTemplate": "#!/bin/sh"},
        422,
        "/cloudConfigTemplate",
    ),
    "ref taken": ({}, 409, "/ref"),
    "keys of numbers": ({"sshKeys": [1]}, 422, "/sshKeys/0"),
}


@pytest.mark.parametrize("case", BAD_PROFILES.values(), ids=BAD_PROFILES)
def test_a_bad_profile(refused, scene, case):
    change, *refusal = case

    refused("/v1/profiles", make.profile(**change), *refusal)


BAD_ARTIFACTS = {
    "backend of another kind": ({"backend": "s3"}, 422, "/backend"),
    "URL of a metadata service": ({"baseUrl": "http://169.254.169.254/x"}, 422, "/baseUrl"),
    "URL of no port": ({"baseUrl": "http://mirror.example:99999"}, 422, "/baseUrl"),
    "prefix that climbs": ({"prefix": "/etc"}, 422, "/prefix"),
    "ref taken": ({}, 409, "/ref"),
}


@pytest.mark.parametrize("case", BAD_ARTIFACTS.values(), ids=BAD_ARTIFACTS)
def test_a_bad_artifact(refused, scene, case):
    change, *refusal = case

    refused("/v1/artifacts", make.artifact(**change), *refusal)


ASKED = {"imageRef": "debian-12", "profileRef": "plain"}

BAD_ASKS = {
    "unknown image": ("provision", ASKED | {"imageRef": "fedora"}, 422, "/imageRef"),
    "no image": ("provision", {"profileRef": "plain"}, 422, "/imageRef"),
    "unknown profile": ("provision", ASKED | {"profileRef": "fancy"}, 422, "/profileRef"),
    "unknown network": ("provision", ASKED | {"networkId": NOWHERE}, 422, "/networkId"),
    "boot source of no kind": ("boot-source", {"bootSource": "tape"}, 422, "/bootSource"),
    "boot URI without http": (
        "boot-source",
        {"bootSource": "pxe", "httpBootUri": "http://boot.example/x.efi"},
        422,
        "/httpBootUri",
    ),
    "boot URI that is none": (
        "boot-source",
        {"bootSource": "http", "httpBootUri": "file:///etc/passwd"},
        422,
        "/httpBootUri",
    ),
    "boot URI with a password": (
        "boot-source",
        {"bootSource": "http", "httpBootUri": "http://a:b@boot.example/x.efi"},
        422,
        "/httpBootUri",
    ),
    "neither media nor eject": ("image", {}, 422, ""),
    "media and eject": ("image", {"mediaUrl": "http://x.example/a.iso", "eject": True}, 422, ""),
    "media that is no URL": ("image", {"mediaUrl": "smb://x.example/a.iso"}, 422, "/mediaUrl"),
    "reason too long": ("power-on", {"reason": "x" * 1001}, 422, "/reason"),
    "typing error": ("reboot", {"reson": "x"}, 422, "/reson"),
}


@pytest.mark.parametrize("case", BAD_ASKS.values(), ids=BAD_ASKS)
def test_a_bad_ask(refused, served_site, case):
    verb, *refusal = case

    refused(f"/v1/machines/node-01/{verb}", *refusal)


FETCHED = {
    "metadata": "http://169.254.169.254/latest/meta-data",
    "metadata, as one number": "http://2852039166/latest",
    "metadata, within IPv6": "http://[::ffff:169.254.169.254]/",
    "the BMC itself": "http://127.0.0.1/x.iso",
    "the BMC itself, by name": "http://localhost/x.iso",
    "the BMC's wire": "http://169.254.1.1/x.iso",
    "everybody": "http://224.0.0.1/x.iso",
    "nobody": "http://0.0.0.0/x.iso",
    "no host": "http:///x.iso",
    "no port": "http://images.example:99999/x.iso",
    "a space": "http://images.example/a b.iso",
    "letters that turn round": "http://images.example/\u202eosi.x",
}


@pytest.fixture
def far(api, served_site):
    """A machine whose BMC is elsewhere, as BMCs are."""
    api.made(
        "/v1/machines", make.machine(served_site, **OTHER | {"bmc": make.bmc(address="10.0.0.5")})
    )
    return "/v1/machines/node-02"


@pytest.mark.parametrize("url", FETCHED.values(), ids=FETCHED)
def test_a_machine_is_told_to_fetch_nothing_from_where_no_service_is(refused, far, url):
    refused(f"{far}/image", {"mediaUrl": url}, 422, "/mediaUrl")
    refused(f"{far}/boot-source", {"bootSource": "http", "httpBootUri": url}, 422, "/httpBootUri")


def test_a_bmc_that_is_emulated_here_may_fetch_from_here(api, served_site):
    asked = api.post("/v1/machines/node-01/image", {"mediaUrl": "http://127.0.0.1:8000/x.iso"})

    assert asked.status_code == 202


def test_a_bmc_is_moved_to_no_place_where_nothing_can_be_asked(refused, scene):
    body = {"version": 1, "bmc": make.bmc(address="http://169.254.169.254")}

    refused("/v1/machines/node-01", body, 422, "/bmc/address", method="patch")


def test_an_artifact_is_moved_to_no_place_where_nothing_can_be_asked(refused, scene):
    body = {"version": 1, "baseUrl": "http://100.100.100.200"}

    refused("/v1/artifacts/debian", body, 422, "/baseUrl", method="patch")


EXPORT = {"name": "cmdb", "kind": "metadata-export", "provider": "webhook"}

BAD_JOBS = {
    "metadata": ({"endpoint": "http://169.254.169.254/latest"}, 422, "/endpoint"),
    "nobody": ({"endpoint": "http://0/"}, 422, "/endpoint"),
    "no port": ({"endpoint": "https://x.example:99999/"}, 422, "/endpoint"),
    "a password": ({"endpoint": "https://a:b@x.example/"}, 422, "/endpoint"),
    "a space": ({"endpoint": "https://x.example/a b"}, 422, "/endpoint"),
    "huge": ({"endpoint": "https://x.example/" + "a" * 10_000}, 422, "/endpoint"),
    "missing": ({}, 422, "/endpoint"),
    "a password for a reference": (
        {"endpoint": "https://x.example/", "secretRef": "hunter22"},
        422,
        "/secretRef",
    ),
    "a provider of another kind": (
        {"endpoint": "https://x.example/", "provider": "http"},
        422,
        "/provider",
    ),
}


@pytest.mark.parametrize("case", BAD_JOBS.values(), ids=BAD_JOBS)
def test_a_bad_integration_job(refused, site, case):
    change, *refusal = case

    refused("/v1/integration-jobs", EXPORT | {"siteId": site["id"]} | change, *refusal)


def test_no_agent_to_ask(api, refused, scene):
    refused("/v1/machines/node-01/commission", {}, 409, "/siteId")


@pytest.mark.parametrize("enabled", [0, 2])
def test_a_machine_without_exactly_one_pxe_interface(api, refused, served_site, enabled):
    interfaces = [
        interface(name=f"eth{n}", macAddress=f"52:54:00:00:01:0{n}", pxeEnabled=n < enabled)
        for n in range(2)
    ]
    body = make.machine(served_site, hostname="node-02", interfaces=interfaces)
    api.made("/v1/machines", body)

    refused("/v1/machines/node-02/provision", ASKED, 409, "/interfaces")


def test_a_site_without_exactly_one_provisioning_network(api, refused, served_site):
    change = {"cidr": "10.78.0.0/24", "rangeStart": "10.78.0.10", "rangeEnd": "10.78.0.99"}
    api.made("/v1/networks", make.network(served_site, name="second", **change))

    refused("/v1/machines/node-01/provision", ASKED, 409, "/networkId")


def test_a_machine_without_a_bmc(api, refused, served_site):
    api.made("/v1/machines", make.machine(served_site, **OTHER | {"bmc": None}))

    refused("/v1/machines/node-02/boot-source", {"bootSource": "pxe"}, 409, "/bmc")


def test_an_image_of_another_architecture(api, refused, served_site):
    api.made("/v1/images", make.image(ref="arm", architecture="arm64"))

    refused("/v1/machines/node-01/provision", ASKED | {"imageRef": "arm"}, 422, "/imageRef")


@pytest.mark.parametrize("left_out", ["imagePath", "checksums", "imageBytes"])
def test_an_image_that_names_no_disk_image_is_kept_and_not_provisioned(
    api, refused, served_site, left_out
):
    unfinished = make.image(ref="later", imagePath=None)
    api.made("/v1/images", {name: v for name, v in unfinished.items() if name != left_out})

    refused("/v1/machines/node-01/provision", ASKED | {"imageRef": "later"}, 409, "/imageRef")


def test_a_refused_verb_is_found_in_the_audit_of_its_machine(api, scene):
    api.post("/v1/machines/NODE-01/commission")

    machine = api.get("/v1/machines/node-01").json
    row = api.get("/v1/audit?machineId=node-01").json["items"][0]
    assert (row["action"], row["outcome"]) == ("machine.commission", "refused")
    assert (row["machineId"], row["siteId"]) == (machine["id"], scene)


def test_a_thousand_faults_are_told_and_kept_in_part(api, site):
    answer = api.post("/v1/sites", make.site(**{f"f{n}" * 100: n for n in range(1000)}))

    assert (answer.status_code, len(answer.json["errors"])) == (422, 50)
    pointers = api.audit()[0]["data"]["pointers"]
    assert len(pointers) == 20
    assert max(map(len, pointers)) == 200


@pytest.mark.parametrize("name", ["%00", "%ff", "a%0Ab", "x" * 300])
def test_a_verb_on_a_name_of_no_form_is_audited_all_the_same(api, site, name):
    assert api.post(f"/v1/machines/{name}/reboot").status_code in {404, 422}

    assert api.audit()[0]["objectId"].isprintable()


def test_a_verb_on_an_unknown_machine_is_audited_by_the_name_that_was_asked(api, site):
    assert api.post("/v1/machines/nowhere/reboot").status_code == 404

    assert api.audit()[0]["objectId"] == "nowhere"
