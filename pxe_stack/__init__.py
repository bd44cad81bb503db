"""Everything that a booting machine is told: DHCP, TFTP, iPXE scripts, seeds, artifacts.

packets, firmware, dhcp, transfer, tally, downloads   decide; no sockets, no files, no clock
cuts, tftp_packets, tftp_table                        the same of TFTP: what is sent, to how many
dns, dns_wire, dns_zone, dns_limits                   the same of DNS: what it says, of which names
boot, boot_files, boot_sources, metadata              what each URL answers, and its rows
iso_slot, overlay, cpio                               a run's own words in an ISO, and how it comes
run_files                                             what is served of these under a run's token
http_message, http_answer, http_proxy                 requests and answers as bytes and values
http_line, http_loop, http_handover, http_server      connections: bounded, handed over
router                                                the answer to IPv6 router solicitations
directory, moment                                     who boots what, and how long
render, surveys                                       control's documents, as canonical text
reports                                               what machines tell of themselves, in parts
wire, sockets, tftp, files, http, store, bell, serve  touch the world
"""
