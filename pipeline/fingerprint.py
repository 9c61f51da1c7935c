"""Fingerprints of code, which enter TFX's cache keys: with dotted paths TFX itself would not see an edit."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def code_fingerprint(*places: str) -> str:
    """Hashes Python source.

    Args:
      places: Packages (all `.py` files below them) or single files, relative to the project's root.

    Returns:
      A hexadecimal digest that changes if any of the files is edited, added, renamed or removed, or if a library's
      version is.
    """
    digest = hashlib.sha256()
    lock = ROOT / "requirements.lock"
    if lock.exists():  # not where the packages were installed without the project around them
        digest.update(lock.read_bytes())
    for place in places:
        path = ROOT / place
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not files:
            raise FileNotFoundError(f"no Python source to fingerprint in {path}")
        for file in files:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
