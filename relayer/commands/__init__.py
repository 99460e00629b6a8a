"""Commands that the relayer accepts over Redis."""
