"""The BMC in front of a machine: a Redfish service that does what it says.

shapes, parts, tree        what a GET shows, as values
messages, bodies, sessions what is refused, and why
documents, service         one request in, one response out
endpoint                   HTTP
"""
