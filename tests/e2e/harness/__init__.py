"""What the fault tests are made of: a network that can be broken on purpose, clients, and the checker of their history."""
