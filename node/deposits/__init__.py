"""Putting many rows on the ledger in one call (上链): jobs that outlive the node, and their rows.

    receiving ── whole ──▶ reading ── every row looked at ──▶ working ── every good row final ──▶ done
        └──────── cancelled, expired, or the file is no table ────────▶ cancelled | expired | failed

Rule: a row's id follows from the job's and its number, and a job's from the organisation and the idempotency key; so whatever
crashes, and whoever asks again at which node, a row is on the ledger once. What a job holds of people's data is sealed under a
key of this node and destroyed with the row's end.
"""
