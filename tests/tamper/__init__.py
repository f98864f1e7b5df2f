"""Flips bytes of a real store's file, one at a time, and asks whether `node check` finds what an independent reader sees.

Rule: the oracle is LMDB itself: what every table holds, read in a process of its own before and after. A store whose contents
differ, or whose reader dies, must be reported, with a place; a flip in room that nothing uses must not be.
"""
