"""From records of the chain to the API's structs, one file a family.

Rule: a view adds names and RFC 3339 times, and leaves nothing out by who is asking: whether somebody may see
an object at all is decided before, in `node/http/access.py`.
"""
