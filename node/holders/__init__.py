"""Keys that the operators hold together: this node's shares, and asking the others for theirs.

Rule: a share leaves this node for nobody; what leaves is its use on one element, after this node's own replica said yes.
"""
