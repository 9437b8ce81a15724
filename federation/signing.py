"""Signing: Ed25519 over the bytes of a head. The only room that loads the cryptography library for feeds."""

from __future__ import annotations

import base64
import binascii

from journal import origin_of


def sign(private_key: bytes, message: bytes) -> bytes:
    """The 64-byte signature of a message under a raw private key [F2]."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private_key).sign(message)


def is_signed(public_key_base64: str, origin: str, message: bytes, signature: bytes) -> bool:
    """Whether the key is the one the origin id is made from, and signed the message [I1] [F2]."""
    try:
        key = base64.b64decode(public_key_base64, validate=True)
    except (ValueError, binascii.Error):
        return False
    if len(key) != 32 or origin_of(key) != origin:
        return False
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
