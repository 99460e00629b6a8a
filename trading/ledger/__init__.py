"""Cash and shares: balances, reservations, ledger entries and positions."""
