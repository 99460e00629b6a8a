"""Settings read from environment variables."""
