"""REST /v1: a file per resource; each view parses, calls one verb, renders.

contract     how an operation is declared, read and answered
fields       the kinds of values that bodies and queries hold
"""
