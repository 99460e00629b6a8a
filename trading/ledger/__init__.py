"""Cash and shares: balances, reservations, ledger entries and holdings."""
