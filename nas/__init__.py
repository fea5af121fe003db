"""TinyNAS: search space, super-network, training, search."""
