"""The sans-IO core of Simplex: events in, effects out.

Rule: nothing here knows a clock, socket, file, key, thread or source of randomness. The wall clock is an argument, timers
and signatures are effects, and certificates are checked through an injected pure scheme.
"""
