"""Everything that a booting machine is told: DHCP, TFTP, iPXE scripts, seeds, artifacts.

packets, firmware, dhcp, transfer, tally, downloads   decide; no sockets, no files, no clock
directory                                             who boots what, as two protocols
render                                                control's documents, as canonical text
wire, sockets, tftp, files, http, store, serve        touch the world
"""
