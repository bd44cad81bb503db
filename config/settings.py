"""Every SPROUT_* variable, read once by an entry point and passed down.

The environment wins over `.env` in the working directory; an empty value means the default.
Nothing but an entry point imports this module.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from config.hosting import Fingerprint, Hosting
from config.values import (
    Addresses,
    Commas,
    Folder,
    Folders,
    Listen,
    Networks,
    Reachable,
    Semicolons,
    WebUrl,
    is_loopback,
)

if TYPE_CHECKING:
    from config import tls

PREFIX: Final = "SPROUT_"
ENV_FILE: Final = ".env"


_CLEAR: Final = (
    ("broker", "amqp://", "amqps://"),
    ("site_broker", "amqp://", "amqps://"),
    ("broker_admin_url", "http://", "https://"),
)
"""URLs that bear passwords: how they begin in clear, and how they are to begin with TLS."""


class BadSettings(Exception):
    """A variable holds what it must not: each line names one and what is wanted."""


def variable(field: str) -> str:
    """Return the name of the variable behind *field*."""
    return PREFIX + field.upper()


def environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `.env` of the working directory overlaid by *env*: where secrets are looked up."""
    return {**{k: v for k, v in dotenv_values(ENV_FILE).items() if v is not None}, **env}


def _state_folder() -> Path:
    """Return the XDG state folder of Sprout (XDG base directory specification)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "sprout"


def _under_data(name: str, description: str) -> Any:
    """Return a field whose default lies in the data folder."""
    return Field(
        default_factory=lambda read: read["data_dir"] / name,
        description=description,
        json_schema_extra={"shown": f"${{SPROUT_DATA_DIR}}/{name}"},
    )


class Settings(Hosting):
    """What an operator may change; frozen, with secrets that have no repr."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Folder = Field(
        default_factory=_state_folder,
        description="Folder of everything that `sprout up` keeps.",
        json_schema_extra={"shown": "${XDG_STATE_HOME:-~/.local/state}/sprout"},
    )
    site_dir: Folder = _under_data("site", "Folder of a site's own store: plans, leases, spool.")
    artifact_dir: Folder = _under_data("artifacts", "Folder that holds artifacts by prefix.")
    blob_dir: Folder = _under_data("blobs", "Folder of the edge's blobs, by SHA-256.")
    events_socket: Folder = _under_data(
        "events.sock",
        "Unix socket by which the edge passes live streams on to `sprout events`.",
    )
    cache_bytes: int = Field(
        200 << 30,
        ge=1 << 20,
        description="Most bytes of artifacts that a site keeps in its cache.",
        json_schema_extra={"shown": str(200 << 30)},
    )
    loader_dirs: Folders = Field(
        (Path("/usr/lib/ipxe"), Path("/boot")),
        description="Folders searched for network loaders, between colons.",
        json_schema_extra={"shown": "/usr/lib/ipxe:/boot"},
    )

    database_url: SecretStr = Field(
        SecretStr(""),
        description="`postgresql://` URL of the system of record; empty: `sprout up` starts one.",
    )
    database_pool: int = Field(
        16, ge=1, le=1000, description="Most database connections of one process."
    )
    broker: SecretStr = Field(
        SecretStr(""),
        description="`amqp://` URL of RabbitMQ, or `postgres` for the embedded queue; "
        "empty: `sprout up` chooses.",
    )

    broker_admin_url: SecretStr = Field(
        SecretStr(""),
        description="URL of RabbitMQ's management API with an administrator's account: there each "
        "site gets an account of its own.",
    )
    policy_file: Path | None = Field(
        None,
        description="YAML file that says which actions need approvals, when and how many at once; "
        "empty: what is built in.",
    )
    automation_users: str = Field(
        "",
        pattern=r"^([A-Za-z0-9._-]+=(viewer|operator|admin)(@[a-z0-9-]+)?(, *|$))*$",
        description="What users of RabbitMQ may command by message: `user=role` or "
        "`user=role@site`, between commas.",
    )
    site_broker: SecretStr = Field(
        SecretStr(""),
        description="Broker URL as sites reach it; empty: `SPROUT_BROKER`. With an account in it, "
        "and without `SPROUT_BROKER_ADMIN_URL`, all sites share that account.",
    )

    api_url: WebUrl = Field(
        "http://127.0.0.1:8080", description="Where the CLI and sites reach the edge."
    )
    api_token: SecretStr = Field(
        SecretStr(""), description="Bearer token that the CLI presents to the edge."
    )
    bind: Listen = Field("127.0.0.1:8080", description="Address and port that the edge listens on.")
    allowed_hosts: Commas = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Host names that the edge answers to, between commas.",
        json_schema_extra={"shown": "localhost,127.0.0.1,[::1]"},
    )
    edge_workers: int = Field(1, ge=1, le=64, description="Processes of the edge.")
    edge_threads: int = Field(24, ge=1, le=256, description="Threads of each edge process.")
    control_threads: int = Field(4, ge=1, le=64, description="Threads of control's worker.")

    site_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]{0,40}$",
        description="Id or slug of the site served here; checked against the enrolment.",
    )
    enrolment_file: Path | None = Field(
        None, description="File that `sprout sites enrol` printed: who this site is; mode 600."
    )
    boot_bind_addr: IPv4Address = Field(
        IPv4Address("0.0.0.0"),  # noqa: S104 - booting machines come by any interface of the site
        description="Address that boot HTTP listens on.",
    )
    boot_port: int = Field(8081, ge=1, le=65535, description="Port of boot HTTP and artifacts.")
    boot_advertise_url: WebUrl = Field(
        "", description="Boot URL as machines see it; empty: the serving address and port."
    )
    boot_cert_fingerprint: Fingerprint = Field(
        "",
        description="SHA-256 of the certificate behind a boot URL of https, colons between its 32 "
        "bytes: what the Proxmox VE installer and its first boot pin. Empty: authorities vouch.",
    )
    boot_proxies: Addresses = Field(
        (),
        description="Addresses of web servers in front of boot HTTP, between commas: their "
        "`X-Real-IP` is believed, and files are left to them.",
    )
    netns: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Network namespace that boot services live in; empty: the machine's own.",
    )
    dhcp_bind_interface: str = Field(
        "",
        max_length=15,
        description="Interface that DHCP listens on; empty: DHCP is off, which cannot be where "
        "`SPROUT_DHCP_PROVIDER=builtin` or `SPROUT_DHCP_BIND_ADDR` is set, or a network has mode "
        "full or proxy.",
    )
    dhcp_bind_addr: IPv4Address | None = Field(
        None, description="Own address that DHCP answers from; empty: the interface's first."
    )
    dhcp_port: int = Field(67, ge=1, le=65535, description="Port that DHCP listens on.")
    dhcp_processes: int = Field(
        1, ge=1, le=16, description="Processes of DHCP, among which clients are divided."
    )
    dhcp_probe_ms: int = Field(
        100,
        ge=0,
        le=2000,
        description="How long a fresh address is probed for before it is leased; 0: never.",
    )
    dns_bind_addr: IPv4Address | None = Field(
        None,
        description="Address that DNS listens on; empty: DNS is off, which cannot be where "
        "`SPROUT_DNS_PROVIDER=builtin` or `SPROUT_DNS_FORWARD` is set, or a network names the site "
        "as its DNS server.",
    )
    dns_port: int = Field(53, ge=1, le=65535, description="Port that DNS listens on, UDP and TCP.")
    dns_forward: Addresses = Field(
        (),
        description="DNS servers that machines of provisioning networks have other names looked up "
        "at, between commas; empty: they are refused.",
    )
    tftp_bind_addr: IPv4Address | None = Field(
        None, description="Address that TFTP listens on; empty: the one that DHCP answers from."
    )
    tftp_port: int = Field(69, ge=1, le=65535, description="Port that TFTP listens on.")
    tftp_processes: int = Field(
        1, ge=1, le=16, description="Processes of TFTP, among which clients are divided."
    )
    canary_interval_s: int = Field(
        300,
        ge=0,
        le=86_400,
        description="Seconds between two checks in which a site's agent plays firmware against it; "
        "0: none.",
    )
    provisioning_domain: str = Field(
        "provisioning.sprout.local",
        max_length=180,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        description="Domain of names given while provisioning.",
    )

    bmc_networks: Networks = Field(
        (), description="Networks that BMCs may lie in, between commas; all else is refused."
    )
    site_commands: Semicolons = Field(
        (), description="Commands that the site runs, of those allowed, between semicolons; or all."
    )
    outbound_allow: Reachable = Field(
        (),
        description="Hosts and networks that are not public and may be called all the same, for "
        "artifacts that lie elsewhere and for integrations, between commas.",
    )
    secret_env_prefix: str = Field(
        "SPROUT_SECRET_",
        min_length=1,
        description="Variables with this prefix are what `env:NAME` references name.",
    )
    vault_address: WebUrl = Field("", description="URL of Vault, for `vault:PATH#KEY` references.")
    vault_token: SecretStr = Field(SecretStr(""), description="Token that Vault is asked with.")
    vault_ca_file: Path | None = Field(
        None,
        description="Authorities that Vault's certificate may come from, as PEM; else the "
        "system's.",
    )
    tls_enabled: bool = Field(
        default=False,
        description="Mutual TLS for agents: at the edge's listener for them, and with RabbitMQ.",
    )
    tls_ca_file: Path | None = Field(
        None, description="Certificates of the one authority that is trusted, as PEM."
    )
    tls_cert_file: Path | None = Field(
        None, description="This process's certificate, and those between, as PEM."
    )
    tls_key_file: Path | None = Field(
        None, description="This process's private key, as PEM without a password; mode 600."
    )
    workload_trust_domain: str = Field(
        "sprout.local",
        pattern=r"^[a-z0-9._-]{1,255}$",
        description="SPIFFE trust domain of agents' identities.",
    )
    agent_bind: Listen = Field(
        "0.0.0.0:8443",
        description="Address and port that `sprout edge --agents` listens on, with mutual TLS.",
    )
    agent_url: WebUrl = Field(
        "",
        description="Where sites reach that listener; empty: the host of `SPROUT_API_URL` and the "
        "port of `SPROUT_AGENT_BIND`.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log line that is written."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="Form of log lines: `json`, or `console` for people."
    )

    @model_validator(mode="after")
    def _the_broker_is_known(self) -> Self:
        broker = self.broker.get_secret_value()
        if not (broker in {"", "postgres"} or broker.startswith(("amqp://", "amqps://"))):
            raise ValueError("SPROUT_BROKER: want an amqp:// URL, or postgres, or nothing")
        return self

    @model_validator(mode="after")
    def _the_database_is_postgresql(self) -> Self:
        url = self.database_url.get_secret_value()
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("SPROUT_DATABASE_URL: want a postgresql:// URL, or nothing")
        return self

    @model_validator(mode="after")
    def _with_tls_nothing_crosses_a_network_in_clear(self) -> Self:
        for field, clear, wanted in _CLEAR:
            url = getattr(self, field).get_secret_value()
            if self.tls_enabled and url.startswith(clear) and not is_loopback(url):
                raise ValueError(f"{variable(field)}: want {wanted} with SPROUT_TLS_ENABLED")
        if self.agent_url and not self.agent_url.startswith("https://"):
            raise ValueError("SPROUT_AGENT_URL: want an https:// URL")
        return self

    @model_validator(mode="after")
    def _the_token_of_vault_crosses_no_network_in_clear(self) -> Self:
        vault = self.vault_address
        if vault and not vault.startswith("https://") and not is_loopback(vault):
            raise ValueError("SPROUT_VAULT_ADDRESS: want an https:// URL")
        if vault and not self.vault_token.get_secret_value():
            raise ValueError("SPROUT_VAULT_TOKEN: want a token with SPROUT_VAULT_ADDRESS")
        return self

    def credentials(self) -> "tls.Credentials | None":
        """Return what TLS is spoken by, None where it is off.

        Read by processes that speak it: who only calls the API need not be able to.

        Raises:
            BadSettings: naming the variable and what is wrong with its file.
        """
        from config import tls  # noqa: PLC0415 - cryptography is slow to load, and large

        if not self.tls_enabled:
            return None
        given = {name: getattr(self, f"tls_{name}_file") for name in ("ca", "cert", "key")}
        for name, path in given.items():
            if path is None:
                raise BadSettings(f"{_tls_variable(name)}: want a file with SPROUT_TLS_ENABLED")
        found = tls.Credentials(**given)
        try:
            found.check()
        except tls.Unusable as exc:
            raise BadSettings(f"{_tls_variable(exc.field)}: {exc}") from None
        return found

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`.

        Raises:
            BadSettings: with one line for each bad variable; values are not repeated.
        """
        try:
            return cls()
        except ValidationError as exc:
            # Not chained: the original may repeat a secret.
            raise BadSettings("\n".join(map(_sentence, exc.errors()))) from None


def _tls_variable(name: str) -> str:
    return variable(f"tls_{name}_file")


def _sentence(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(message)
    field = str(error["loc"][0])
    info: FieldInfo = Settings.model_fields[field]
    return f"{variable(field)}: {message[:1].lower()}{message[1:]}. {info.description}"
