"""Encryption of what stands in checkpoints."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hitl_agent.errors import CheckpointRefused, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCRYPTION_KEY = "HITL_ENCRYPTION_KEY"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK = "+aes-256-gcm."
"""Stands between a value's kind and the name of the key that it is encrypted under."""

_MAKE_ONE = "make one with `openssl rand -base64 32`"


class Cipher:
    """AES-256-GCM under one key, and under older ones for what they encrypted.

    A value is bound to its place: taken to another thread, channel or version, it is refused.

    Args:
        keys: keys of 32 bytes; the first encrypts, all decrypt.

    Raises:
        ConfigurationError: the package `cryptography` is not installed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415  an extra
                AESGCM,
            )
        except ImportError as error:
            raise ConfigurationError(
                f"{ENCRYPTION_KEY} is set and `cryptography` is not installed",
                hint="install `hitl-agent[encryption]`",
            ) from error
        self._keys: dict[str, AESGCM] = {_key_name(key): AESGCM(key) for key in keys}
        self._current = _key_name(keys[0])

    def seal(self, kind: str, data: bytes, place: Sequence[str | int]) -> tuple[str, bytes]:
        """Encrypt a value.

        Args:
            kind: of the value; it stays readable.
            data: the value's bytes.
            place: where the value stands.

        Returns:
            The kind with the key's name, and the encrypted bytes, a nonce of their own first.
        """
        sealed = f"{kind}{_MARK}{self._current}"
        nonce = os.urandom(_NONCE_BYTES)
        return sealed, nonce + self._keys[self._current].encrypt(nonce, data, _bound(sealed, place))

    def unseal(self, kind: str, data: bytes, place: Sequence[str | int]) -> tuple[str, bytes]:
        """Decrypt a value.

        Raises:
            CheckpointRefused: it is not encrypted, or under another key, or was changed or moved.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  an extra

        plain_kind, mark, name = kind.partition(_MARK)
        if not mark:
            raise CheckpointRefused(
                f"it is not encrypted, and {ENCRYPTION_KEY} is set",
                hint="let threads from before end without the key, and start new ones with it",
            )
        if name not in self._keys:
            raise CheckpointRefused(
                f"it is encrypted under key `{name[:16]}`, and the key here is `{self._current}`",
                hint=f"add the other key to {ENCRYPTION_KEY}, after the current one and a comma",
            )
        try:
            opened = self._keys[name].decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound(kind, place)
            )
        except (InvalidTag, ValueError) as error:
            raise CheckpointRefused(
                "its bytes were changed, or moved here from another place",
                hint="restore the checkpoint tables from a backup, or start a new thread",
            ) from error
        return plain_kind, opened


def refuse_sealed(kind: str) -> None:
    """Raise `CheckpointRefused` if a value is encrypted: here is no key."""
    _, mark, name = kind.partition(_MARK)
    if mark:
        raise CheckpointRefused(
            f"it is encrypted under key `{name[:16]}`, and there is no key here",
            hint=f"set {ENCRYPTION_KEY}",
        )


def configured_cipher(keys: str | None = None) -> Cipher | None:
    """Return the cipher that is asked for, or None.

    Args:
        keys: base64 of 32 bytes, several separated by commas; without it what
            `HITL_ENCRYPTION_KEY` says.

    Raises:
        ConfigurationError: a key cannot be read; it is not repeated.
    """
    text = keys if keys is not None else os.environ.get(ENCRYPTION_KEY, "")
    if not text.strip():
        return None
    return Cipher([_key(number, one) for number, one in enumerate(text.split(","), start=1)])


def _key(number: int, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(
            f"{ENCRYPTION_KEY}: key {number} is not base64", hint=_MAKE_ONE
        ) from error
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(
            f"{ENCRYPTION_KEY}: key {number} has {len(key)} bytes, not {_KEY_BYTES}", hint=_MAKE_ONE
        )
    return key


def _key_name(key: bytes) -> str:
    """Name a key without telling anything of it."""
    return hashlib.sha256(b"hitl-agent checkpoint key\0" + key).hexdigest()[:8]


def _bound(kind: str, place: Sequence[str | int]) -> bytes:
    return json.dumps([kind, *place]).encode()
