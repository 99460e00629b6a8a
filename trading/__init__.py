"""StocKing without frameworks, divided by capability; docs/architecture.md has the order."""

__version__ = "0.1.0"
