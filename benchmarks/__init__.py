"""Benchmarks. Each prints its figures and, on the last line, one JSON object."""
