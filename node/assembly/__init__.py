"""The composition root's rooms: what a node is made of, put together in the order of the data flow.

Rule: `node/app.py` makes ledger, peers and consensus; the rooms here are given that ground and choose the rest. Nothing here
decides anything while a node runs.
"""
