"""Run the services of the compose files from the built images; see ``scripts/check-image``."""
