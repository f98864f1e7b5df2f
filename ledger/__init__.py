"""The bytes that everyone agrees on, and the store that keeps them.

Everything here is pure, without clock, socket, file or randomness, except `store` and `lmdb_file`, which are
the disk, and `crypto`, which draws fresh keys and nonces.
"""
