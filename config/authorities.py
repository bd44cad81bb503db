"""The part of the settings that says whose certificates are believed, beside the system's."""

from pydantic import Field

from config.logins import Logins
from config.values import Authorities


class Believed(Logins):
    """Files of an operator's own certificate authorities; those of agents' TLS are apart."""

    bmc_ca_file: Authorities | None = Field(
        None,
        description="Authorities that BMCs' certificates may come from, as PEM; else the "
        "system's. A BMC that was entered with `verifyTls=false` is not checked.",
    )
    outbound_ca_file: Authorities | None = Field(
        None,
        description="Authorities that the certificates of integrations and of servers elsewhere "
        "that hold artifacts may come from, as PEM, beside the system's.",
    )
