"""What operators and programs talk to: REST API, sign-in, pages, and the CLI that goes through it.

errors, auth rules, api's shapes      decide; values in, values out
app, exchange, problems, sign_in      touch the request
serve                                 the process; cli/ the terminal
"""
