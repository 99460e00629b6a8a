"""Run the compose files' services from the built images; started by ``scripts/check-image``."""
