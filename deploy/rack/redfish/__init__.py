"""The BMC in front of a machine: a Redfish service that does what it says.

tree, messages, sessions   decide; no sockets
service                    one request in, one response out
endpoint                   HTTP
"""
