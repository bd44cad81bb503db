"""The domain: what a machine may do, how far it has come, and who said so.

errors, lifecycle, phases, workflows, engine, ipam,     decide; no database, no clock, no socket
bootplan, observations, messages, why, policy, names
tables, database, migrations, queries, commands,        remember; rows stay in, frozen values travel
outbox, audit
"""
