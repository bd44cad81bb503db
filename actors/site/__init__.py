"""What runs at a site: a supervisor over the agent and the serving processes.

enrolment                 who this site is, from its one-time file
supervisor                forks, restarts, ends
agent                     puts together what follows, and answers to commands
store                     the agent's own SQLite file: what it accepted
desk, artifacts           plans: checked, stored, served, acknowledged
orders, runner, tasks     tasks: accepted, run under a bound, reported
uplink                    registration, heartbeats, and the journal's way to control
"""
