"""The audit index: a follower of the chain that answers "what happened to X", and can be deleted and rebuilt.

Rule: nothing is decided from the index. Contracts, access checks and receipts read the state and the store;
the index only finds ids and tells history.
"""
