"""Simplex consensus: a pure core (`consensus.core`), the journal, catch-up, and the engine that runs them.

Rule: consensus decides the order of blocks and nothing else. What a block means is the application's business
(`consensus.application`), and it depends on `ledger` alone.
"""
