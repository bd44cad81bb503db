"""What control renders for one run: canonical text with its slots still empty.

The only owner of Jinja for machine dialects.  iPXE scripts are templates of ours.  A profile's
cloud-config is a template of the operator's: it fills in values and chooses by them; it does not
loop, call or compute, so that no template can take long or grow large.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models import names
from models.answering import NO_TYPE, Hardware
from models.bootplan import SLOT_MARK, Access, Addressing, Document, slot
from models.errors import Invalid
from pxe_stack import kernel_args, seeds
from pxe_stack.host_documents import ISO
from pxe_stack.kernel_args import Part

LARGEST: Final = 64 * 1024
"""Characters of one document, and of a template; all of a plan must fit in one message."""

CONSOLE: Final = "ttyS0,115200"
VENDOR_DATA: Final = "#cloud-config\n{}\n"

INSTALLING: Final = "installing"
"""What a boot script tells whoever stands before the machine."""

BASE: Final = slot("boot.base_url")
_PATH: Final = f"/boot/{slot('run.id')}"
_RUN: Final = f"{BASE}{_PATH}"
SEED_URL: Final = f"{_RUN}/{slot('run.token.seed')}"
CALLBACK_URL: Final = f"{_RUN}/{slot('run.token.callback')}/"

_ALLOWED: Final = (
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Filter,
    nodes.Keyword,
)
"""What an operator's template may be made of."""
_FILTERS: Final = frozenset({"lower", "upper", "trim", "default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One machine's deployment.

    Paths are below /artifacts/; *image_size* and *disk_min_bytes* in bytes; *kernel_args* one word
    each.  *disk_serial* and *disk_wwn* may be empty, though not both, where no *hardware* names a
    disk.  *pin*: SHA-256 of the certificate behind its URLs, where they are of https.
    """

    hostname: str
    mac: str
    addressing: Addressing
    kernel_path: str
    initrd_path: str
    image_path: str = ""
    image_sha256: str = ""
    image_size: int = 0
    instance_id: str
    iso_path: str = ""
    older_media: bool = False
    disk_serial: str | None = None
    disk_wwn: str | None = None
    disk_min_bytes: int = 0
    kernel_args: tuple[str, ...] = ()
    cloud_config_template: str = ""
    ssh_keys: tuple[str, ...] = ()
    hardware: Hardware = NO_TYPE
    pin: str = ""
    password_hash: str = field(default="", repr=False)
    doing: str = INSTALLING

    @property
    def fqdn(self) -> str:
        """The host name with the network's domain, if it has none of its own."""
        domain = self.addressing.domain
        return self.hostname if "." in self.hostname or not domain else f"{self.hostname}.{domain}"


ORDINARY: Final = Order(
    hostname="node-01",
    mac="52:54:00:12:34:56",
    addressing=Addressing(
        address="10.77.0.10",
        prefix_length=24,
        gateway="10.77.0.1",
        dns=("10.77.0.1",),
        domain="rack.example",
        lease_s=3600,
    ),
    kernel_path="vmlinuz",
    initrd_path="initrd.img",
    image_path="disk.raw",
    image_sha256="0" * 64,
    image_size=1,
    instance_id="i-0",
    iso_path="live-server.iso",
    disk_serial="S1",
)
"""What templates are tried with before there is a machine."""


def documents(order: Order) -> tuple[Document, ...]:
    """Return everything that *order*'s machine is served.

    Raises Invalid, with the field, for a template or a kernel argument that does not fit.
    """
    return bounded(
        document("script", Access.SCRIPT, script(order)),
        document("script.grub", Access.SCRIPT, grub_script(order)),
        document("manifest", Access.SEED, manifest(order)),
        document("seed/meta-data", Access.SEED, meta_data(order)),
        document("seed/user-data", Access.SEED, user_data(order)),
        document("seed/vendor-data", Access.SEED, VENDOR_DATA),
        document("seed/network-config", Access.SEED, network_config(order)),
    )


def bounded(*made: Document) -> tuple[Document, ...]:
    """Return *made*, if each fits in a message.  Raises Invalid."""
    for each in made:
        if len(each.body) > LARGEST:
            raise Invalid(
                f"{each.name} would have {len(each.body)} characters, over {LARGEST}",
                field=seeds.FIELD,
                hint="Fetch large files at first boot instead of writing them in cloud-config.",
            )
    return made


def document(name: str, access: Access, body: str) -> Document:
    """Return a document of plain text."""
    return Document(name=name, access=access, media_type="text/plain", body=body)


def script(order: Order) -> str:
    """Return the iPXE script that starts the deploy kernel, or says why it could not."""
    return ipxe_script(order, _arguments(order, Part("initrd", "initrd.img")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByUefi:
    """What a kernel that UEFI starts is given besides: an archive *beside*, other *arguments*."""

    beside: str
    arguments: str


def ipxe_script(
    order: Order, arguments: str, *, beside: str = "", by_uefi: ByUefi | None = None
) -> str:
    """Return the iPXE script that starts *order*'s kernel with *arguments*.

    *beside* the initramfs is what the run is served under that name: the ISO lies in it as
    /proxmox.iso, and an archive is unpacked over it.
    """
    return _script(
        "ipxe/install.ipxe",
        order,
        kernel_url=f"{BASE}{artifact(order.kernel_path, field='/kernelPath')}",
        initrd_url=f"{BASE}{artifact(order.initrd_path, field='/initrdPath')}",
        beside_url=f"{SEED_URL}/{beside}" if beside else "",
        iso_name=ISO if beside == ISO else "",
        uefi_url=f"{SEED_URL}/{by_uefi.beside}" if by_uefi else "",
        uefi_arguments=by_uefi.arguments if by_uefi else "",
        kernel_name=order.kernel_path.rpartition("/")[2],
        arguments=arguments,
        callback_url=CALLBACK_URL,
    )


def grub_script(order: Order, arguments: str | None = None, *, beside: str = "") -> str:
    """Return the same for a GRUB, in paths of the server that it came from by TFTP or HTTP.

    *arguments* are the deploy kernel's where none are given.
    """
    return _script(
        "grub/install.cfg",
        order,
        kernel_path=artifact(order.kernel_path, field="/kernelPath"),
        initrd_path=artifact(order.initrd_path, field="/initrdPath"),
        beside_path=f"{_PATH}/{slot('run.token.seed')}/{beside}" if beside else "",
        iso_name=ISO if beside == ISO else "",
        arguments=_arguments(order) if arguments is None else arguments,
        trouble_path=f"{_PATH}/{slot('run.token.callback')}/trouble",
    )


def _script(template: str, order: Order, **values: str) -> str:
    return ours(
        template,
        hostname=names.hostname(order.hostname, field="/hostname"),
        mac=names.mac(order.mac, field="/mac"),
        doing=order.doing,
        **values,
    )


def ours(template: str, **values: str) -> str:
    """Return a template of ours with *values* in it, each checked for its dialect before."""
    return _ours().get_template(template).render(values)


def _arguments(order: Order, *first: Part) -> str:
    """Return the deploy kernel's command line; its words need no quotes in any dialect."""
    return kernel_args.line(
        (
            *first,
            Part("console", CONSOLE),
            Part("sprout.manifest", f"{SEED_URL}/manifest"),
            Part("BOOTIF", f"01-{order.mac.replace(':', '-')}"),
            *map(Part.read, order.kernel_args),
        )
    )


def manifest(order: Order) -> str:
    """Return what the deploy system is to do: a key, one space and a value on each line."""
    image = f"{BASE}{artifact(order.image_path, field='/imagePath')}"
    lines = {
        "version": "1",
        "run": slot("run.id"),
        "hostname": names.hostname(order.hostname, field="/hostname"),
        "image": image,
        "image-size": str(order.image_size),
        "image-sha256": order.image_sha256,
        "chunks": f"{image}.chunks",
        "disk-serial": disk_name(order.disk_serial, field="/rootDisk/serial"),
        "disk-wwn": disk_name(order.disk_wwn, field="/rootDisk/wwn"),
        "disk-min-bytes": str(order.disk_min_bytes),
        "seed": f"{SEED_URL}/seed/",
        "callback": CALLBACK_URL,
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items() if value)


def disk_name(value: str | None, *, field: str) -> str:
    """Return the serial number or WWN of a disk, or nothing.  Raises Invalid."""
    text = (value or "").strip()
    if not text.isprintable() or SLOT_MARK in text:
        raise Invalid(f"{text!r} cannot name a disk", field=field, hint="Copy it from the BMC.")
    return text


def meta_data(order: Order) -> str:
    """Return NoCloud's meta-data; a new instance-id makes cloud-init begin anew."""
    return seeds.dump({"instance-id": order.instance_id, "local-hostname": order.hostname})


def user_data(order: Order) -> str:
    """Return the profile's cloud-config with what every machine gets."""
    config = seeds.cloud_config(filled(order.cloud_config_template, variables(order)))
    merged = seeds.user_data(
        config,
        hostname=order.hostname,
        fqdn=order.fqdn,
        ssh_keys=order.ssh_keys,
        home_url=f"{CALLBACK_URL}phone-home",
    )
    return f"#cloud-config\n{seeds.dump(merged)}"


def network_config(order: Order) -> str:
    """Return the network of the installed system."""
    return seeds.dump(seeds.network_config(order.mac, order.addressing))


def check_template(template: str) -> None:
    """Return if *template* makes cloud-config of an ordinary machine's values.

    Raises Invalid with the line that is wrong.
    """
    user_data(replace(ORDINARY, cloud_config_template=template))


def variables(order: Order) -> dict[str, str]:
    """Return the names that a profile's cloud-config may use between {{ and }}."""
    told = order.addressing
    return {
        "hostname": order.hostname,
        "fqdn": order.fqdn,
        "domain": told.domain,
        "mac": order.mac,
        "address": told.address,
        "prefix_length": str(told.prefix_length),
        "gateway": told.gateway or "",
        "instance_id": order.instance_id,
    }


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return an operator's *template* with *values* in it.

    Raises Invalid for a slot, an undeclared variable, and anything but values and choices.
    """
    if len(template) > LARGEST:
        raise seeds.unfit(f"it has more than {LARGEST} characters")
    try:
        tree = _sandbox().parse(template)
        _check(tree, values)
        text = _sandbox().from_string(tree).render(values)
    except jinja2.TemplateSyntaxError as exc:
        raise seeds.unfit(f"line {exc.lineno}: {exc.message}") from exc
    except (jinja2.TemplateError, ValueError, TypeError, RecursionError) as exc:
        raise seeds.unfit(str(exc)) from exc
    if len(text) > LARGEST or SLOT_MARK in template + text:
        raise seeds.unfit(f"it holds {SLOT_MARK}, or renders to more than {LARGEST} characters")
    return text


def _check(tree: nodes.Template, values: Mapping[str, str]) -> None:
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            raise seeds.unfit(
                f"line {node.lineno}: {type(node).__name__} is not for these templates"
            )
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise seeds.unfit(f"line {node.lineno}: there is no filter {node.name} here")
    strangers = find_undeclared_variables(tree) - values.keys()
    for name in tree.find_all(nodes.Name):
        if name.name in strangers:
            raise seeds.unfit(
                f"line {name.lineno}: there is no {name.name}; there is {', '.join(values)}"
            )


def artifact(path: str, *, field: str) -> str:
    """Return the path of the URL under which an artifact is served."""
    return f"/artifacts/{names.path(path, field=field)}"


@cache
def _ours() -> jinja2.Environment:
    # Not HTML: every value was checked for its dialect before it came here.
    return ImmutableSandboxedEnvironment(
        loader=jinja2.PackageLoader("pxe_stack"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )


@cache
def _sandbox() -> jinja2.Environment:
    # Not HTML, and read as YAML afterwards: nothing is escaped.
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
