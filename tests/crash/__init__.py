"""Nodes killed at every point where it could matter, files cut at every byte, a store whose writes stop anywhere."""
