"""How hardware and other systems are spoken to; each vendor library ends here.

deadline, errors, reach,      decide; no socket
systems, inventory
outbound                      the one way out by HTTP; edge_line: to the site's own edge, in bulk
redfish, redfish_line         BMCs, over sushy
"""
