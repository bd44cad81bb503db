"""Zones and queries for tests of DNS."""

from ipaddress import IPv4Network

import dnslib

from pxe_stack.dns_zone import Host, Zone

DOMAIN = "rack.test"
OWN = (Host("boot", "10.77.0.1"), Host("ns", "10.77.0.1"))
HOSTS = (Host("node-01", "10.77.0.21"), Host("node-02", "10.77.0.22"))
NETWORKS = (IPv4Network("10.77.0.0/24"),)


def zone(**changes):
    given = {"own": OWN, "hosts": HOSTS, "networks": NETWORKS, "serial": 7}
    return Zone.of(DOMAIN, **given | changes)


def query(name=f"node-01.{DOMAIN}", kind="A", *, klass="IN", edns=None, version=0):
    """The bytes of a question, with *edns* bytes of room by UDP if given."""
    record = dnslib.DNSRecord.question(name, kind, klass)
    if edns is not None:
        record.add_ar(dnslib.EDNS0(udp_len=edns, version=version, flags="do"))
    return bytes(record.pack())


def read(wire):
    return dnslib.DNSRecord.parse(wire)


def said(wire):
    """(code, answers as words, types in the authority section) of a reply."""
    reply = read(wire)
    code = dnslib.RCODE[reply.header.rcode]
    words = [f"{dnslib.QTYPE[rr.rtype]} {rr.rdata}" for rr in reply.rr]
    return code, words, [dnslib.QTYPE[rr.rtype] for rr in reply.auth]
