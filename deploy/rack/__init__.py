"""A rack of virtual machines with real firmware, each behind a Redfish BMC that powers it.

hardware, boot, power, qemu      decide; no sockets, no processes
netns, bridge, advertise         the network that the machines share
children, qmp, machine           one QEMU process, and the power button in front of it
redfish                          the BMC: resources, sessions, HTTP
leftovers, needs                 what a killed rack left; what is missing to run one
rack                             all of it together, as a context manager
simulated                        machines and BMCs that are played, for any user and for thousands
"""
