"""The attack campaign of watermarks: what a marked copy is put through, and how often its recipient is still named.

Rule: goals, attacks and covers are fixed before a run; what misses its goal is printed as a miss. Nothing here is part of the
library, and the library is called only as its command line calls it: `embed`, `detect`, keys and candidates.
"""
