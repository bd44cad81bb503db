from pathlib import Path

import pytest

from config.settings import BadSettings, Settings, environment


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """A working directory without .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_listen_on_loopback_only():
    settings = Settings.load()

    assert settings.bind == "127.0.0.1:8080"
    assert settings.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")


def test_boot_services_listen_where_firmware_looks_for_them():
    settings = Settings.load()

    assert (settings.dhcp_port, settings.tftp_port) == (67, 69)


def test_env_file_is_read_at_start(empty_folder):
    (empty_folder / ".env").write_text("SPROUT_EDGE_THREADS=7\n")

    assert Settings.load().edge_threads == 7


def test_environment_wins_over_env_file(empty_folder, monkeypatch):
    (empty_folder / ".env").write_text("SPROUT_EDGE_THREADS=7\n")
    monkeypatch.setenv("SPROUT_EDGE_THREADS", "9")

    assert Settings.load().edge_threads == 9


def test_empty_variable_means_the_default(monkeypatch):
    monkeypatch.setenv("SPROUT_EDGE_THREADS", "")
    monkeypatch.setenv("SPROUT_SITE_ID", "")

    settings = Settings.load()

    assert (settings.edge_threads, settings.site_id) == (24, "")


def test_foreign_lines_of_env_file_are_left_alone(empty_folder):
    (empty_folder / ".env").write_text("POSTGRES_PASSWORD=x\nSPROUT_SECRET_BMC=y\n")

    Settings.load()

    assert environment({})["SPROUT_SECRET_BMC"] == "y"


def test_data_lies_in_the_state_folder_of_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert Settings.load().data_dir == tmp_path / "sprout"


def test_other_folders_follow_the_data_folder(monkeypatch):
    monkeypatch.setenv("SPROUT_DATA_DIR", "/srv/sprout")

    settings = Settings.load()

    assert settings.site_dir == Path("/srv/sprout/site")
    assert settings.artifact_dir == Path("/srv/sprout/artifacts")


def test_home_is_understood_in_folders(monkeypatch):
    monkeypatch.setenv("SPROUT_DATA_DIR", "~/metal")

    assert Settings.load().data_dir == Path.home() / "metal"


def test_lists_are_split_at_their_marks(monkeypatch):
    monkeypatch.setenv("SPROUT_ALLOWED_HOSTS", "metal.example.org, 10.0.0.5")
    monkeypatch.setenv("SPROUT_LOADER_DIRS", "/a:/b")
    monkeypatch.setenv("SPROUT_BMC_NETWORKS", "10.1.0.0/16,fd00::/64")

    settings = Settings.load()

    assert settings.allowed_hosts == ("metal.example.org", "10.0.0.5")
    assert settings.loader_dirs == (Path("/a"), Path("/b"))
    assert [str(network) for network in settings.bmc_networks] == ["10.1.0.0/16", "fd00::/64"]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("SPROUT_BIND", "8080", "want address:port"),
        ("SPROUT_BIND", "0.0.0.0:99999", "want address:port"),
        ("SPROUT_API_URL", "ftp://edge", "want an http:// or https:// URL"),
        ("SPROUT_EDGE_WORKERS", "0", "greater than or equal to 1"),
        ("SPROUT_EDGE_THREADS", "many", "valid integer"),
        ("SPROUT_BMC_NETWORKS", "10.0.0.1/8", "valid IPv4 network"),
        ("SPROUT_SITE_ID", "site of berlin", "match pattern"),
        ("SPROUT_ADMIN_TOKEN_HASH", "abc", "match pattern"),
        ("SPROUT_NETNS", "../run", "match pattern"),
        ("SPROUT_LOG_FORMAT", "xml", "'json' or 'console'"),
        ("SPROUT_DHCP_PROVIDER", "kea", "'builtin', 'external' or 'off'"),
        ("SPROUT_DNS_PROVIDER", "external", "SPROUT_DNS_EXTERNAL_URL: want its base URL"),
        ("SPROUT_NETWORK_PROVIDER", "external", "SPROUT_NETWORK_EXTERNAL_URL: want its base URL"),
        ("SPROUT_ALLOCATION_PROVIDER", "external", "SPROUT_ALLOCATION_EXTERNAL_URL: want its base"),
        ("SPROUT_DHCP_EXTERNAL_KIND", "dnsmasq", "'contract' or 'kea'"),
        ("SPROUT_IPAM_PROVIDER", "off", "'builtin' or 'external'"),
        ("SPROUT_BROKER", "nats://bus", "want an amqp:// URL, or postgres"),
        ("SPROUT_DATABASE_URL", "sqlite:///x", "want a postgresql:// URL"),
        ("SPROUT_WORKLOAD_TRUST_DOMAIN", "Example.org", "match pattern"),
        ("SPROUT_WORKLOAD_TRUST_DOMAIN", "example.org/site", "match pattern"),
        ("SPROUT_AGENT_BIND", "8443", "want address:port"),
        ("SPROUT_AGENT_URL", "http://edge:8443", "want an https:// URL"),
        ("SPROUT_VAULT_ADDRESS", "http://vault.example:8200", "want an https:// URL"),
        ("SPROUT_DNS_BIND_ADDR", "::1", "valid IPv4 address"),
        ("SPROUT_DNS_FORWARD", "10.0.0.1, resolver", "valid IPv4 address"),
        ("SPROUT_PROVISIONING_DOMAIN", "Rack_1.test", "match pattern"),
    ],
)
def test_bad_value_is_refused_by_name_with_what_is_wanted(monkeypatch, name, value, wanted):
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings) as caught:
        Settings.load()

    assert name in str(caught.value)
    assert wanted in str(caught.value)


EXTERNAL = {
    "SPROUT_DNS_PROVIDER": "external",
    "SPROUT_DNS_EXTERNAL_URL": "https://dns.example",
    "SPROUT_DNS_EXTERNAL_TOKEN": "env:DNS",
}


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("", "SPROUT_DNS_EXTERNAL_URL: want its base URL with SPROUT_DNS_PROVIDER=external"),
        ("http://dns.example", "SPROUT_DNS_EXTERNAL_URL: want an https:// URL"),
        ("https://me:word@dns.example", "SPROUT_DNS_EXTERNAL_URL: want no password"),
        ("https://dns.example?key=word", "SPROUT_DNS_EXTERNAL_URL: want no password"),
        ("gopher://dns.example", "SPROUT_DNS_EXTERNAL_URL: .*want an http:// or https:// URL"),
    ],
)
def test_an_external_provider_without_a_place_that_can_be_trusted_is_refused(
    monkeypatch, url, wanted
):
    for name, value in (EXTERNAL | {"SPROUT_DNS_EXTERNAL_URL": url}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings, match=wanted) as caught:
        Settings.load()

    assert "word" not in str(caught.value).replace("password", "")


def test_an_external_provider_is_named_by_what_it_speaks_and_where(monkeypatch):
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)

    (found,) = Settings.load().externals()

    assert (found.capability, found.name) == ("dns", "contract at dns.example")
    assert found.variable == "SPROUT_DNS_EXTERNAL"
    assert "env:DNS" not in repr(found)


def test_a_vault_without_a_token_is_refused(monkeypatch):
    monkeypatch.setenv("SPROUT_VAULT_ADDRESS", "http://127.0.0.1:8200")

    with pytest.raises(BadSettings, match="SPROUT_VAULT_TOKEN: want a token"):
        Settings.load()


def test_every_bad_variable_is_named_at_once(monkeypatch):
    monkeypatch.setenv("SPROUT_BIND", "8080")
    monkeypatch.setenv("SPROUT_EDGE_WORKERS", "0")

    with pytest.raises(BadSettings) as caught:
        Settings.load()

    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "SPROUT_BIND",
        "SPROUT_EDGE_WORKERS",
    ]


def test_errors_do_not_repeat_a_secret(monkeypatch):
    monkeypatch.setenv("SPROUT_BROKER", "amq://sprout:hunter22@bus")

    with pytest.raises(BadSettings) as caught:
        Settings.load()

    assert "hunter22" not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPROUT_DATABASE_URL", "postgresql://sprout:hunter22@db/sprout"),
        ("SPROUT_BROKER", "amqp://sprout:hunter22@bus"),
        ("SPROUT_API_TOKEN", "hunter22"),
        ("SPROUT_SESSION_KEY", "hunter22"),
        ("SPROUT_VAULT_TOKEN", "hunter22"),
        ("SPROUT_IPAM_EXTERNAL_TOKEN", "hunter22"),
    ],
)
def test_settings_show_no_secret(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    settings = Settings.load()

    assert "hunter22" not in f"{settings!r} {settings} {settings.model_dump_json()}"
