"""The node's HTTP API under /v1.

Rule: routes are thin. A row of the route table says everything about a route but what it does (access, types,
limits); the handler calls one service and maps the answer. `dispatch.py` enforces what the table says, in one
order for all.
"""
