"""The bytes that everyone agrees on, and the store that keeps them.

Everything here except `store` is pure: no clock, no socket, no file, no randomness.
"""
