"""Pseudonyms of subjects, and the key file, kept apart from all that is published, that tells who is who."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.core.files import replacing
from csmri.core.texts import read_json

SALT, SUBJECTS = "salt", "subjects"
N_DIGITS = 8
"""Hexadecimal digits of a pseudonym; more where two subjects would share one."""


class Pseudonyms:
    """Stable pseudonyms, `subject-` and digits of an HMAC-SHA256 of the original name, salted.

    Without the salt, which stands in the key file, nobody can find out a pseudonym by trying names. The seed of a
    simulated mask comes from the name of the subject: under a pseudonym other masks are drawn than under the original
    name, of the same law and acceleration.

    Parameters
    ----------
    path : path
        The key file, JSON: `salt` and, under `subjects`, pseudonym -> original name. Begun if it is not there.

    Raises
    ------
    CsmriError
        If the file is there and not such a key.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        advice = "give the key file that `csmri prepare --pseudonyms` wrote, or a new name"
        known = read_json(self.path, advice=advice)
        self._salt, names = known.get(SALT, secrets.token_hex(16)), known.get(SUBJECTS, {})
        sound = isinstance(self._salt, str) and re.fullmatch("[0-9a-f]{32,}", self._salt) and isinstance(names, dict)
        if not sound or (known.keys() - {SALT, SUBJECTS}) or not all(isinstance(name, str) for name in names.values()):
            raise CsmriError(f"{self.path}: not a key of pseudonyms; {advice}")
        self._original: dict[str, str] = dict(names)

    @property
    def salt(self) -> str:
        """Secret of this key, for what else is to be hidden by it."""
        return str(self._salt)

    def peek(self, subject: str) -> str:
        """Pseudonym that a subject has, or would have; the key is not told of it."""
        digits = hmac.new(bytes.fromhex(self._salt), subject.encode("utf-8"), hashlib.sha256).hexdigest()
        candidates = (f"subject-{digits[:n]}" for n in range(N_DIGITS, len(digits) + 1))
        return next(one for one in candidates if self._original.get(one, subject) == subject)

    def of(self, subject: str) -> str:
        """Pseudonym of a subject, the same for the same key file; `save` keeps it."""
        pseudonym = self.peek(subject)
        self._original[pseudonym] = subject
        return pseudonym

    def save(self) -> None:
        """Write the key file, whole or not at all, for the eyes of its owner only."""
        text = json.dumps({SALT: self._salt, SUBJECTS: dict(sorted(self._original.items()))}, indent=1) + "\n"
        with replacing(self.path) as temporary:
            # With its mode from the beginning: never is it there for others to read.
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text.encode("utf-8"))


def refuse_published_key(key: Path, store: Path, published: Collection[str]) -> None:
    """Refuse a key file inside the store, or inside a folder that holds files by one of these names or patterns.

    Raises
    ------
    CsmriError
        If whoever gets the folder would get the key with it.
    """
    folders = key.resolve().parents
    found = next((folder for folder in folders if any(any(folder.glob(name)) for name in published)), None)
    if store.resolve() in folders or found:
        where = store if found is None else found
        raise CsmriError(
            f"{key}: the key of the pseudonyms would lie inside {where}, which may be given away; "
            "choose a place apart from stores, runs and results"
        )
