"""Everything that is done because a message says so: at control, and at each site.

broker, broker_*, queue_postgres   carry messages: RabbitMQ, or tables of PostgreSQL
middleware                         what happens around every message
control/                           moves machines on; relay, reaper, sealer, errands
site/                              an agent at its site: plans, tasks, reports
drivers/                           vendor libraries in our words
"""
