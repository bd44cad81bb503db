"""The verbs: one transaction each, and one function that moves a machine.

inventory   sites, networks, artifacts, images, profiles, machines
asks        what an operator wants done with a machine
walks       how the engine carries a workflow on
tasks       what an agent is asked to do at a BMC
reports     what a site saw
runs        addresses, runs and boot plans
moves       the one writer of a machine's state, and its timeline
agents      who serves a site
"""
