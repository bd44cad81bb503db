"""provisioning.yaml: all that a small installation says, in one file.

What it says is what variables say; where both do, the environment wins.  Relative paths are
relative to the file.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, LiteralString, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from config import faults
from config.faults import Fault, Place
from config.hosting import Cluster, CryptHash, Fingerprint, HostKeys, Node, SecretReference
from config.values import Listen, WebUrl

PORT: Final = 8080


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _some(value: str) -> str:
    if not value:
        raise ValueError("it must not be empty")
    return value


def _wide(value: IPv4Network) -> IPv4Network:
    if value.prefixlen > 30:
        raise ValueError("want a network with room for hosts, such as 192.168.1.0/24")
    return value


def _nothing(value: Any) -> Any:
    # `key:` without a value is a section that is left empty, not a text.
    return {} if value == "" else value


_Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Server(_Part):
    public_url: Annotated[WebUrl, AfterValidator(_some)] = Field(
        description="Where browsers and hosts reach Sprout, such as http://192.168.1.5:8080."
    )
    bind: Listen = Field(
        f"0.0.0.0:{PORT}", description="Address and port to listen on, such as 0.0.0.0:8080."
    )
    admin_password_hash: Annotated[
        str,
        Field(
            max_length=255,
            pattern=r"^(scrypt\$[0-9]{2}\$[0-9]\$[0-9]\$[A-Za-z0-9+/=]{22,44}\$[A-Za-z0-9+/=]{43,88})?$",
        ),
    ] = Field(
        "",
        repr=False,
        description="What `sprout hash-password` prints; empty: a password is made and shown once.",
    )
    data_dir: Path | None = Field(None, description="Folder of everything that Sprout keeps.")


class Pxe(_Part):
    enabled: bool = Field(
        default=True, description="Whether DHCP requests for a boot are answered."
    )
    interface: Annotated[str, Field(max_length=15, pattern=r"^[A-Za-z0-9_.-]*$")] = Field(
        "", description="The network card that hosts are reached by, such as eth0."
    )
    subnet: Annotated[IPv4Network, AfterValidator(_wide)] | None = Field(
        None, description="The LAN in CIDR form, such as 192.168.1.0/24."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.enabled and not (self.interface and self.subnet):
            raise ValueError("enabled wants an interface and a subnet too")
        return self


_WANTS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "join_fingerprint": ("existing_node",),
        "cluster": ("ssh_key",),
        "existing_node": ("cluster", "join_fingerprint", "node_keys", "ssh_key"),
    }
)
"""What hosts cannot join a cluster without, by what is said of it."""


def _lacks(key: str, why: LiteralString) -> InitErrorDetails:
    return {"type": PydanticCustomError("wanted", why), "loc": (key,), "input": None}


class Proxmox(_Part):
    cluster: Cluster = Field("", description="The cluster's name; empty: hosts join none.")
    existing_node: Node = Field(
        "", description="Name or address of a node of the cluster; empty: the first host makes it."
    )
    join_fingerprint: Fingerprint = Field(
        "",
        description="pve_fp of that node, from `pvesh get /cluster/config/join`: 32 bytes in "
        "hexadecimal digits, colons between them.",
    )
    node_keys: HostKeys = Field(
        (), description="A list of that node's SSH host keys: its /etc/ssh/ssh_host_*_key.pub."
    )
    password: SecretReference = Field(
        "", description="Where the nodes' root password is kept, such as env:PVE_PASSWORD."
    )
    ssh_key: SecretReference = Field(
        "", description="Where the private key is kept that nodes let in, such as env:PVE_KEY."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        lacking = {
            wanted: f"{key} wants it too"
            for key, others in _WANTS.items()
            for wanted in others
            if getattr(self, key) and not getattr(self, wanted)
        }
        if lacking:
            wrong = [_lacks(key, why) for key, why in lacking.items()]
            raise ValidationError.from_exception_data("proxmox", wrong)
        return self


def _hashed(value: SecretStr) -> SecretStr:
    _some(value.get_secret_value())
    return value


class Credentials(_Part):
    root_password_hash: Annotated[CryptHash, AfterValidator(_hashed)] = Field(
        description="What `mkpasswd -m sha-512` prints, between single quotes."
    )


class Infrastructure(_Part):
    base_url: WebUrl = Field("", description="URL of the service; empty: it is off.")
    token: SecretReference = Field(
        "", description="Where its bearer token is kept, such as env:INFRASTRUCTURE_TOKEN."
    )
    server_type_map: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")],
        Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-+\--~]+$")],
    ] = Field(
        default_factory=dict, description="Server type: what the service calls it, on one line."
    )


class Provisioning(_Part):
    """The whole file."""

    server: Server
    pxe: Annotated[Pxe, BeforeValidator(_nothing)] = Field(
        description="Give interface and subnet, or write enabled: false."
    )
    proxmox: Annotated[Proxmox, BeforeValidator(_nothing)] = Field(
        default_factory=Proxmox, description="Of a cluster that is there give all of these."
    )
    credentials: Credentials
    infrastructure: Annotated[Infrastructure, BeforeValidator(_nothing)] = Field(
        default_factory=Infrastructure, description="The service that hosts are told to."
    )
    server_types: Path = Field(Path("server-types.yaml"), description="The file of server types.")
    site: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")] = Field(
        "home", description="A word for the place where the hosts stand, such as home."
    )

    def variables(self, folder: Path) -> Mapping[str, str]:
        """Return what the file, which lies in *folder*, says as variables; none is empty."""
        url = self.server.public_url
        said = {
            "SPROUT_API_URL": url,
            "SPROUT_BIND": self.server.bind,
            "SPROUT_ALLOWED_HOSTS": _hosts(url),
            "SPROUT_ADMIN_PASSWORD_HASH": self.server.admin_password_hash,
            "SPROUT_DATA_DIR": _path(folder, self.server.data_dir),
            "SPROUT_DHCP_BIND_INTERFACE": self.pxe.interface if self.pxe.enabled else "",
            "SPROUT_SITE_ID": self.site,
            "SPROUT_SERVER_TYPES_FILE": _path(folder, self.server_types),
            "SPROUT_PROXMOX_CLUSTER": self.proxmox.cluster,
            "SPROUT_PROXMOX_NODE_KEYS": ";".join(self.proxmox.node_keys),
            "SPROUT_PROXMOX_PASSWORD": self.proxmox.password,
            "SPROUT_PROXMOX_SSH_KEY": self.proxmox.ssh_key,
            "SPROUT_INFRASTRUCTURE_TOKEN": self.infrastructure.token,
            "SPROUT_PROXMOX_EXISTING_NODE": self.proxmox.existing_node,
            "SPROUT_PROXMOX_JOIN_FINGERPRINT": self.proxmox.join_fingerprint,
            "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": (
                self.credentials.root_password_hash.get_secret_value()
            ),
            "SPROUT_INFRASTRUCTURE_URL": self.infrastructure.base_url,
            "SPROUT_INFRASTRUCTURE_SERVER_TYPE_MAP": ",".join(
                f"{key}={name}" for key, name in self.infrastructure.server_type_map.items()
            ),
        }
        return {name: text for name, text in said.items() if text}


SECTIONS: Final = frozenset(Provisioning.model_fields)
"""Keys of such a file: no server type is called so in a good one."""


def _hosts(url: str) -> str:
    host = urlsplit(url).hostname or ""
    named = f"[{host}]" if ":" in host else host
    return ",".join(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", named)))


def _path(folder: Path, path: Path | None) -> str:
    return "" if path is None else str((folder / path.expanduser()).absolute())


_WHOLE: Final = TypeAdapter(Provisioning)


def errors(document: Any) -> list[ErrorDetails]:
    """Return what is wrong in *document*, as `config.policy.read` returned it."""
    try:
        _WHOLE.validate_python(document)
    except ValidationError as exc:
        return exc.errors(include_url=False, include_input=False, include_context=False)
    return []


def parsed(document: Any) -> Provisioning:
    """Return what *document* says, which `errors` found to be good."""
    return _WHOLE.validate_python(document)


def found(document: Any, path: Path) -> list[Fault]:
    """Return what is wrong in *document*, which was read from *path*."""
    return faults.told(errors(document), faults.lines(path), _wants)


def _wants(place: Place) -> tuple[str, Sequence[str]]:
    """Return what is wanted at *place*, and the keys that there are beside it."""
    model: Any = Provisioning
    meaning = ""
    for number, part in enumerate(place):
        keys = tuple(model.model_fields)
        field = model.model_fields.get(part)
        if field is None or number == len(place) - 1:
            return ("" if field is None else field.description or ""), keys
        meaning = field.description or ""
        models = [
            each for each in (field.annotation, *get_args(field.annotation)) if _is_part(each)
        ]
        if not models:
            return meaning, ()
        model = models[0]
    return meaning, tuple(model.model_fields)


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _Part)
