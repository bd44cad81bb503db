from collections.abc import Iterator
from itertools import count

import pytest

from pxe_stack.serve import Site
from tests.pxe_stack import make
from tests.pxe_stack.lab import SERVER_ADDRESS, Lab, lab, sweep

_numbers = count()


@pytest.fixture(scope="session")
def swept_namespaces() -> None:
    sweep()


@pytest.fixture
def wire(tmp_path, swept_namespaces) -> Iterator[Lab]:
    """Servers and clients on one wire, in namespaces of their own."""
    with lab(tmp_path, next(_numbers)) as made:
        yield made


@pytest.fixture
def site(wire, tmp_path) -> Site:
    loaders = tmp_path / "loaders"
    loaders.mkdir()
    (loaders / "snponly.efi").write_bytes(bytes(range(256)) * 4000)
    (loaders / "undionly.kpxe").write_bytes(b"BIOS\r\n" * 9000)
    return Site(
        directory=tmp_path / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=make.URL,
        boot_address=SERVER_ADDRESS,
        netns=wire.servers,
        dhcp_interface="s0",
        dhcp_address=SERVER_ADDRESS,
        tftp_address=SERVER_ADDRESS,
        loader_dirs=(loaders,),
    )
