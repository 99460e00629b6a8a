"""What this product asks of others over HTTP."""
