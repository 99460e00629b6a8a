"""Database access: types, transactions, retries and portable SQL."""
