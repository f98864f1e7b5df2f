"""Peers: how validators find, authenticate and talk to each other."""
