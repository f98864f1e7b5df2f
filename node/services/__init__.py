"""What the node does for its users, one use case a file; `ports.py` is what the HTTP routes may ask of them."""
