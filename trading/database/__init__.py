"""The truth: tables, column types and the one place that begins and ends a transaction."""
