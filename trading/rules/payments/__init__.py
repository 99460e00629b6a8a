"""Payments for real money: what we agreed, what PortOne says of it, and what follows for the books. Won in, won out, nothing else."""
