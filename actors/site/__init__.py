"""What runs at a site: a supervisor over the agent and the serving processes.

enrolment                     who this site is, from its one-time file; waits for a right one
supervisor                    forks, restarts, ends
agent                         puts together what follows, and answers to commands
store                         the agent's own SQLite file: what it accepted, intended and fenced
desk, admission, artifacts    plans: stored, their files fetched and verified, served, acknowledged
cache, download, sums         files from the edge: within a size, resumed, hashed as they come
orders, runner, lanes         tasks: accepted, begun under their lease, ended, reported
leases, warrant, tasks        what may be done now, written down before each write to a BMC
evidence, upload, findings      what fits no message: kept on the disk, brought up to the edge
uplink, contact               registration, heartbeats, renewals, and the journal's way to control
"""
