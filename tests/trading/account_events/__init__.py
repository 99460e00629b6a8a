"""Account events."""
