"""Payloads off chain: encrypted, content-addressed, opened only under a finalized release or trace.

Rule: plaintext exists in memory only, and only between a key holder's consent and the end of one request.
"""
