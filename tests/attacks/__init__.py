"""Attacks on a running city: every one is tried for real, on four node processes, and what came of it is told.

Rule: an attack is a function that does what the attacker would do and returns what it got, in one sentence; it raises
`Succeeded` where the attacker got what nobody may get. Nothing here is asked of a mock, and no attack is left out of the table
because it works.
"""
