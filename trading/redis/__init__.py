"""Redis clients and the names of all keys and channels."""
