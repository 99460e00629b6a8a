"""Market indices and their daily closes."""
