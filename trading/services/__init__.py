"""Use cases, one file each. They get a session from the transaction runner and never commit; locks are taken in the order orders,
balances, holdings, and inside each by ascending id."""
