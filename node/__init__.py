"""The node: the program that puts ledger, consensus, contracts, network and watermark together.

`app.py` is the composition root, the only place that chooses implementations; `services/` has one use case a file;
`http/` turns requests into calls of services; `vault/` keeps payloads; `index/` answers audit queries.
"""
