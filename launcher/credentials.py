"""Secrets generated for one installation, in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def stored_secret(folder: Path, name: str, *, size: int = 48) -> str:
    """Return the secret of this name. Create it from `size` random bytes at the first call."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if path.exists() and (stored := path.read_text().strip()):
        return stored
    secret = secrets.token_urlsafe(size)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    return secret
