"""Everything of Sprout on one machine, under one supervisor: the machinery of `sprout up`.

process, core                         values: what is started, when it is ready, what came of it
folder, quarters, sweep, readiness    touch the world, each in one way
child, supervisor                     run the process table
postgres, rabbitmq, servers           the two servers that we bring along, or do not
up                                    puts all of it together
"""
