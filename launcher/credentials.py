"""Secrets that one machine's installation makes up for itself, kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def kept_secret(folder: Path, name: str, *, size: int = 48) -> str:
    """The secret of this name: made from ``size`` random bytes the first time, the same one ever after."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if path.exists() and (kept := path.read_text().strip()):
        return kept
    secret = secrets.token_urlsafe(size)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    return secret
