"""Everything of Sprout on one machine, under one supervisor: the machinery of `sprout up`.

process, settings of servers      say what is started and when it is ready
folder, sweep, quarters, readiness, child, supervisor    touch the world
postgres, rabbitmq                the two servers that we bring along
up                                puts all of it together
"""
