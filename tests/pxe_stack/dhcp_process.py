"""One DHCP process of several: python -m tests.pxe_stack.dhcp_process SITE INDEX COUNT."""

import sys
from dataclasses import replace

from config import logs
from pxe_stack import serve_dhcp
from pxe_stack.leases import Share
from tests.pxe_stack import lab

if __name__ == "__main__":
    site, index, count = sys.argv[1:]
    share = Share(int(index), int(count))
    logs.configure("INFO", "json", share.service)
    serve_dhcp.dhcp(replace(lab._read(site), dhcp_processes=share.count), share.index)
