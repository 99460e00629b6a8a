"""Operators' tools: system status, administrators' actions, row counts."""
