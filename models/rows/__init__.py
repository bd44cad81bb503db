"""The tables, a module for each part of the domain; `models.tables` is where they are found.

fields     columns and bases
inventory  what there is
engine     what is under way and what is said of it
ledger     who asked, and keys
"""
