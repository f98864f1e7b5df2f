"""State sync: a node whose store is empty begins with a snapshot of the state in place of every block.

Rule: a peer is asked, never believed. What it sends is proven from genesis on before it is used, and a peer
that sends something else is left.
"""

from node.statesync.client import Outcome, StateSync, SyncSettings, SyncStatus
from node.statesync.server import ServeSettings, SnapshotServer

__all__ = ["Outcome", "ServeSettings", "SnapshotServer", "StateSync", "SyncSettings", "SyncStatus"]
