"""Front ends: each turns one model format into a `Graph`."""
