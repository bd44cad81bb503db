"""What a person sees: each page reads by the queries of /v1, and asks by its views.

contents    which pages there are
frame       what is around each: who looks, where else to go, the same by machine
listing     a list as its URL asks for it
forms       what a person fills in, refused with each fault at its field
"""
