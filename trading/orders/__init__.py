"""Orders: validate, place, amend, cancel, expire, match, execute, settle, explain."""
