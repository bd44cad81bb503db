"""The six capabilities that a site's own systems may take over, and who provides each."""

from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from config.values import WebUrl

Provider = Literal["builtin", "external"]


def _provider(what: str) -> Any:
    return Field(
        "builtin",
        description=f"Who provides {what}: `builtin`; `external` comes with a later version.",
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
    dhcp_provider: Provider = _provider("DHCP reservations")
    dhcp_external_url: WebUrl = _url("DHCP reservations")
    dhcp_external_token: SecretStr = _token("DHCP reservations")
    dns_provider: Provider = _provider("DNS records")
    dns_external_url: WebUrl = _url("DNS records")
    dns_external_token: SecretStr = _token("DNS records")
    hardware_testing_provider: Provider = _provider("hardware tests")
    hardware_testing_external_url: WebUrl = _url("hardware tests")
    hardware_testing_external_token: SecretStr = _token("hardware tests")
    allocation_provider: Provider = _provider("machine allocation")
    allocation_external_url: WebUrl = _url("machine allocation")
    allocation_external_token: SecretStr = _token("machine allocation")
