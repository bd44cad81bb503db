"""Certificates of an authority of somebody's own: believed where a setting names its file."""

import ssl
from contextlib import contextmanager

import pytest

from actors.control import provisions
from actors.drivers import contract, reach, redfish
from actors.drivers.deadline import Deadline
from actors.drivers.elsewhere import Elsewhere
from actors.drivers.errors import DriverError, Refused, Unreachable
from actors.drivers.partner import Partner
from actors.drivers.providers import Errand
from actors.drivers.systems import Target
from config.capabilities import CONTRACT, External
from config.secrets import Secret
from config.settings import BadSettings, Settings
from tests.actors import edge_lab, hostile_bmc
from tests.services import certificates

NEAR = ["127.0.0.0/8"]
SETTINGS = ("SPROUT_BMC_CA_FILE", "SPROUT_PROVIDER_CA_FILE", "SPROUT_OUTBOUND_CA_FILE")


@pytest.fixture
def ours(tmp_path):
    return certificates.authority(tmp_path / "ours")


@pytest.fixture
def other(tmp_path):
    return certificates.authority(tmp_path / "other")


@pytest.fixture
def tls(ours):
    own = ours.issue("server", hosts=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    return context


@contextmanager
def led(bmc, ca_file, *, verify=True):
    rules = reach.bmc(tuple(reach.integration(NEAR).networks), ca_file)
    target = Target(
        address=bmc.url,
        username="admin",
        password=Secret(hostile_bmc.PASSWORD),
        verify=verify,
    )
    deadline = Deadline.after(20)
    with redfish.connected(target, rules=rules, deadline=deadline, seen=lambda _: None) as machine:
        yield machine


def test_a_bmc_of_an_own_authority_is_refused_without_its_file_and_taken_with_it(ours, tls):
    with hostile_bmc.running(tls=tls) as bmc:
        with pytest.raises(Refused, match="its TLS is not accepted"), led(bmc, None):
            pass
        assert bmc.requests == []

        with led(bmc, ours.file) as machine:
            assert machine.power() == "off"


def test_a_bmc_of_another_authority_is_refused_before_the_password_is_sent(other, tls):
    with hostile_bmc.running(tls=tls) as bmc:
        with pytest.raises(Refused, match="its TLS is not accepted"), led(bmc, other.file):
            pass

        assert bmc.requests == []


def test_a_bmc_that_is_not_to_be_checked_is_not_with_a_file_either(other, tls):
    with hostile_bmc.running(tls=tls) as bmc, led(bmc, other.file, verify=False) as machine:
        assert machine.power() == "off"


def test_a_file_that_went_while_it_was_used_is_named_and_nothing_is_sent(ours, tls):
    with hostile_bmc.running(tls=tls) as bmc:
        ours.file.unlink()

        with pytest.raises(Refused, match="is not there any more"), led(bmc, ours.file):
            pass

        assert bmc.requests == []


def asked_for_health(url, ca_file):
    external = External(capability="dns", kind=CONTRACT, url=url, token="", ca_file=ca_file)
    errand = Errand(key="k", request_id="r", deadline=Deadline.after(20))
    contract.health(provisions.peer(external, {}), errand)


def test_a_provider_of_an_own_authority_is_asked_only_where_its_file_is_named(ours, other, tls):
    with edge_lab.running(tls) as provider:
        for believed in (None, other.file):
            with pytest.raises(Unreachable, match="cannot be asked: SSLError"):
                asked_for_health(provider.url, believed)
        assert provider.requests == []

        with pytest.raises(Refused, match="knows nothing of that"):
            asked_for_health(provider.url, ours.file)


def read_by_partner(url, ca_file):
    return Partner(reach.integration(NEAR, ca_file), Deadline.after(20)).get(
        url, {}, most_bytes=1000
    )


def read_from_elsewhere(url, ca_file):
    far = Elsewhere(reach.integration(NEAR, ca_file))
    with far.exchange("GET", url, headers={}) as answer:
        return answer


@pytest.mark.parametrize("read", [read_by_partner, read_from_elsewhere])
def test_partners_and_mirrors_of_an_own_authority_are_believed_where_its_file_is_named(
    ours, other, tls, read
):
    with edge_lab.running(tls) as partner:
        for believed in (None, other.file):
            with pytest.raises(Unreachable, match="does not prove who it is"):
                read(f"{partner.url}/x", believed)
        assert partner.requests == []

        assert read(f"{partner.url}/x", ours.file).status == 404


def test_partners_of_the_systems_authorities_are_believed_beside_those_of_the_file(
    ours, other, tls, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.file))

    with edge_lab.running(tls) as partner:
        assert read_by_partner(f"{partner.url}/x", other.file).status == 404


@pytest.mark.parametrize("read", [read_by_partner, read_from_elsewhere])
def test_a_partners_file_that_went_is_a_failure_of_ours_to_name(ours, tls, read):
    with edge_lab.running(tls) as partner:
        ours.file.unlink()

        with pytest.raises(DriverError, match="No such file"):
            read(f"{partner.url}/x", ours.file)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A working directory without .env, in which variables can be set; returns what sets one."""
    monkeypatch.chdir(tmp_path)
    return monkeypatch.setenv


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "holds no certificate as PEM"),
        ("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "no certificate"),
        ("just words", "holds no certificate as PEM"),
    ],
    ids=["missing", "empty", "broken", "other"],
)
def test_a_file_that_vouches_for_nobody_is_refused_at_start_by_its_variable(
    alone, tmp_path, name, content, why
):
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    alone(name, str(path))

    with pytest.raises(BadSettings) as caught:
        Settings.load()

    assert str(caught.value).startswith(f"{name}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder_is_no_file_of_authorities(alone, tmp_path, name):
    alone(name, str(tmp_path))

    with pytest.raises(BadSettings, match=f"{name}: .* cannot be read"):
        Settings.load()


def test_files_of_authorities_are_taken_from_their_variables(alone, ours):
    for name in SETTINGS:
        alone(name, str(ours.file))
    alone("SPROUT_DNS_PROVIDER", "external")
    alone("SPROUT_DNS_EXTERNAL_URL", "https://dns.example")

    settings = Settings.load()

    assert settings.bmc_ca_file == settings.outbound_ca_file == ours.file
    assert [each.ca_file for each in settings.externals()] == [ours.file]


def test_without_a_file_the_systems_authorities_are_believed(alone):
    settings = Settings.load()

    assert settings.bmc_ca_file is settings.provider_ca_file is settings.outbound_ca_file is None
