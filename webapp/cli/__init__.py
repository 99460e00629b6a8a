"""The `flask` commands for operators."""
