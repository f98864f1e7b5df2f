"""Threshold cryptography: what t of n holders can do together, and t − 1 with everything they have cannot.

    group.py        a group of prime order in which Diffie-Hellman is hard, and its BLS12-381 instance
    polynomials.py  sharing a scalar; from shares back to it
    equality.py     proofs that two elements hide the same scalar
    dealing.py      verifiable sharing: what distributed key generation and renewal are made of
    encryption.py   TDH2: ciphertexts that t holders open, each share with a proof
    prf.py          a pseudorandom function that t holders evaluate without seeing its input

Rule: an element from outside counts only if its bytes are the one encoding of a point of the prime-order group other
than the identity; a scalar from outside only if it is in 1 … q − 1 and in 32 bytes. Everything hostile is `False` or
None, never an exception; what a caller alone can get wrong is an invariant. Holders are counted from 1.
"""
