"""Numbered events of an account: record, publish, repair, and the push protocol."""
