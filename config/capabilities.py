"""The six capabilities that a site's own systems may take over, and who provides each."""

from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from config.values import WebUrl

Provider = Literal["builtin", "external"]
Service = Literal["builtin", "external", "off"]
"""Who provides what a site would serve itself; it may also do without."""


def _provider(what: str) -> Any:
    return Field(
        "builtin",
        description=f"Who provides {what}: `builtin`; `external` comes with a later version.",
    )


def _service(what: str, where: str) -> Any:
    return Field(
        "builtin",
        description=f"Who provides {what}: `builtin`, at `{where}`; `off`: nobody here; `external` "
        "comes with a later version.",
    )


def _url(what: str) -> Any:
    return Field("", description=f"Base URL of the external provider of {what}.")


def _token(what: str) -> Any:
    return Field(SecretStr(""), description=f"Bearer token for the external provider of {what}.")


class Capabilities(BaseSettings):
    """Provider, URL and token of each capability; flat, because variables are."""

    network_provider: Provider = _provider("networks")
    network_external_url: WebUrl = _url("networks")
    network_external_token: SecretStr = _token("networks")
    ipam_provider: Provider = _provider("IP allocations")
    ipam_external_url: WebUrl = _url("IP allocations")
    ipam_external_token: SecretStr = _token("IP allocations")
    dhcp_provider: Service = _service("DHCP reservations", "SPROUT_DHCP_BIND_INTERFACE")
    dhcp_external_url: WebUrl = _url("DHCP reservations")
    dhcp_external_token: SecretStr = _token("DHCP reservations")
    dns_provider: Service = _service("DNS records", "SPROUT_DNS_BIND_ADDR")
    dns_external_url: WebUrl = _url("DNS records")
    dns_external_token: SecretStr = _token("DNS records")
    hardware_testing_provider: Provider = _provider("hardware tests")
    hardware_testing_external_url: WebUrl = _url("hardware tests")
    hardware_testing_external_token: SecretStr = _token("hardware tests")
    allocation_provider: Provider = _provider("machine allocation")
    allocation_external_url: WebUrl = _url("machine allocation")
    allocation_external_token: SecretStr = _token("machine allocation")
