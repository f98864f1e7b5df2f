"""Deterministic business logic: (state, transaction, block time) -> (writes, events, result).

Rule: no clock, no randomness, no floats, no I/O, no iteration over sets. `calls.py` is what a transaction can
ask for, `records.py` is what the state holds, `runtime.py` runs the one on the other, and each contract has a
file of its own.
"""
