"""Operators' tools: system status, administrators' log, row counts, backups."""
