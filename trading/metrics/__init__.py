"""What the processes tell of themselves to Prometheus: all families, counting, and telling. docs/operations/metrics.md lists them."""
