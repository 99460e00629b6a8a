"""The front door, real Caddy in front of real gunicorn and the push gateway."""
