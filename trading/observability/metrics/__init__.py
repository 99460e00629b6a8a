"""Prometheus metrics: families, instruments, multiprocess files and exposition."""
