"""The six capabilities that other systems may take over, and who provides each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from config.values import Authorities, WebUrl, is_loopback

Provider = Literal["builtin", "external"]
Service = Literal["builtin", "external", "off"]
"""Who provides what a site would serve itself; it may also do without."""

EXTERNAL: Final = "external"
CONTRACT: Final = "contract"
"""The kind of a provider that speaks Sprout's own contract."""

CAPABILITIES: Final = ("network", "ipam", "dhcp", "dns", "hardware_testing", "allocation")


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An external provider as it was set: *kind* is what it speaks.

    *token* is what it is asked with, or a reference to that: env:NAME or vault:PATH#KEY.
    *ca_file* replaces the system's certificate authorities.
    """

    capability: str
    kind: str
    url: str
    token: str = field(repr=False)
    ca_file: Path | None = None

    @property
    def name(self) -> str:
        """What it is called in words and rows: what it speaks, and where."""
        return f"{self.kind} at {urlsplit(self.url).netloc}"

    @property
    def variable(self) -> str:
        """What the names of its variables begin with."""
        return f"SPROUT_{self.capability.upper()}_EXTERNAL"


def _provider(what: str) -> Any:
    return Field(
        "builtin",
        description=f"Who provides {what}: `builtin`, or `external` at the URL below.",
    )


def _service(what: str, where: str) -> Any:
    return Field(
        "builtin",
        description=f"Who provides {what}: `builtin`, at `{where}`; `off`: nobody here; "
        "`external`: the provider at the URL below.",
    )


def _url(what: str) -> Any:
    return Field(
        "", description=f"Base URL of the external provider of {what}; `https://` with a token."
    )


def _token(what: str) -> Any:
    return Field(
        SecretStr(""),
        description=f"Token for the external provider of {what}, or where it is kept: `env:NAME`, "
        "`vault:PATH#KEY`.",
    )


def _kind(what: str, other: str) -> Any:
    return Field(
        CONTRACT,
        description=f"What the external provider of {what} speaks: `contract` "
        f"(`deploy/providers/openapi.yaml`), or {other}.",
    )


class Capabilities(BaseSettings):
    """Provider, URL and token of each capability; flat, because variables are."""

    network_provider: Provider = _provider("networks")
    network_external_url: WebUrl = _url("networks")
    network_external_token: SecretStr = _token("networks")
    ipam_provider: Provider = _provider("IP allocations")
    ipam_external_kind: Literal["contract", "netbox"] = _kind(
        "IP allocations", "`netbox`: its REST API"
    )
    ipam_external_url: WebUrl = _url("IP allocations")
    ipam_external_token: SecretStr = _token("IP allocations")
    dhcp_provider: Service = _service("DHCP reservations", "SPROUT_DHCP_BIND_INTERFACE")
    dhcp_external_kind: Literal["contract", "kea"] = _kind(
        "DHCP reservations", "`kea`: its control agent, with `USER:PASSWORD` as the token"
    )
    dhcp_external_url: WebUrl = _url("DHCP reservations")
    dhcp_external_token: SecretStr = _token("DHCP reservations")
    dns_provider: Service = _service("DNS records", "SPROUT_DNS_BIND_ADDR")
    dns_external_kind: Literal["contract", "powerdns"] = _kind(
        "DNS records", "`powerdns`: the API of its authoritative server"
    )
    dns_external_url: WebUrl = _url("DNS records")
    dns_external_token: SecretStr = _token("DNS records")
    hardware_testing_provider: Provider = _provider("hardware tests")
    hardware_testing_external_url: WebUrl = _url("hardware tests")
    hardware_testing_external_token: SecretStr = _token("hardware tests")
    allocation_provider: Provider = _provider("machine allocation")
    allocation_external_url: WebUrl = _url("machine allocation")
    allocation_external_token: SecretStr = _token("machine allocation")
    provider_ca_file: Authorities | None = Field(
        None,
        description="Authorities that the certificates of external providers may come from, as "
        "PEM; else the system's.",
    )

    @model_validator(mode="after")
    def _an_external_provider_has_a_place(self) -> Self:
        for external in self.externals():
            parts = urlsplit(external.url)
            if not external.url:
                switch = f"SPROUT_{external.capability.upper()}_PROVIDER=external"
                raise ValueError(f"{external.variable}_URL: want its base URL with {switch}")
            if "@" in parts.netloc or parts.query or parts.fragment:
                raise ValueError(
                    f"{external.variable}_URL: want no password, query or fragment in it"
                )
            if external.token and parts.scheme != "https" and not is_loopback(external.url):
                raise ValueError(
                    f"{external.variable}_URL: want an https:// URL, since a token is sent there"
                )
        return self

    def externals(self) -> tuple[External, ...]:
        """Return the external providers that were chosen."""
        chosen = (each for each in CAPABILITIES if getattr(self, f"{each}_provider") == EXTERNAL)
        return tuple(
            External(
                capability=each,
                kind=getattr(self, f"{each}_external_kind", CONTRACT),
                url=getattr(self, f"{each}_external_url"),
                token=getattr(self, f"{each}_external_token").get_secret_value(),
                ca_file=self.provider_ca_file,
            )
            for each in chosen
        )
