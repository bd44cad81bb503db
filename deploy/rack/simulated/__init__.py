"""Machines without QEMU: the BMC and the boots are played, the protocols are spoken.

Whatever such a machine does next follows from what the servers answered: a step that is refused or
wrong fails as it does on metal.  A thousand of them live in one process, in one event loop.

units, pace, image               what they are made of, how long things take, what they install
packets, relay, lease, tftp, http   the network, as firmware speaks it
ipxe, deploy, first_boot         what runs on them: iPXE's scripts, the deploy system, the image
machine, boots                   the power button, and what a machine does when it is on
front, writes                    the BMCs over HTTP, and the log of every write that they received
rack, command                    all of it together, and `python -m deploy.rack simulated`
"""
