"""Users: registration, sign-in, passwords and revoked tokens."""
