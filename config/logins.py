"""How people and programs come in at the edge."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from config.capabilities import Capabilities
from config.values import WebUrl, is_loopback


class Logins(Capabilities):
    """The admin's token and password, the sessions' key, and the OpenID Connect issuer."""

    admin_token_hash: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256 (hex) of the admin's token; empty: there is no admin's token.",
    )
    admin_password_hash: str = Field(
        "",
        pattern=r"^(scrypt\$[0-9]{2}\$[0-9]\$[0-9]\$[A-Za-z0-9+/=]{22,44}\$[A-Za-z0-9+/=]{43,88})?$",
        repr=False,
        description="What `sprout hash-password` prints of the local admin's password, between "
        "single quotes; empty: there is no password.",
    )
    session_key: SecretStr = Field(
        SecretStr(""), description="Key that signs browser sessions; `sprout up` makes its own."
    )
    oidc_issuer: WebUrl = Field(
        "",
        description="OpenID Connect issuer that people log in at, and whose tokens are taken; "
        "empty: none.",
    )
    oidc_client_id: str = Field(
        "sprout-api", max_length=255, description="The edge's client at the issuer."
    )
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="That client's secret; empty: people cannot log in by it."
    )
    oidc_audience: str = Field(
        "sprout-api",
        min_length=1,
        max_length=255,
        description="The audience that a token must be for.",
    )
    oidc_cli_client_id: str = Field(
        "sprout-cli",
        max_length=255,
        description="The public client that `sprout login` uses there.",
    )
    oidc_scopes: str = Field(
        "openid profile email",
        pattern=r"^openid( [a-zA-Z0-9_.:/-]{1,100})*$",
        description="Scopes that are asked for when a person logs in.",
    )

    @model_validator(mode="after")
    def _tokens_cross_no_network_in_clear(self) -> Self:
        issuer = self.oidc_issuer
        if issuer and not issuer.startswith("https://") and not is_loopback(issuer):
            raise ValueError("SPROUT_OIDC_ISSUER: want an https:// URL")
        return self
