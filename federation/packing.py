"""Packing: slices and blobs as they are stored and moved, zstd with a checksum [F3].

Pure. How something was packed means nothing: hashes are of what comes out, and no more comes out than the caller takes.
"""

from __future__ import annotations

import zstandard


def pack(raw: bytes) -> bytes:
    """Bytes as one frame that says how many they are."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(raw)


def unpack(packed: bytes, most_bytes: int) -> bytes | None:
    """The bytes of one whole frame with nothing behind it; None when it is none, or holds more than that.

    Straight into one buffer: no window, whose size the frame would choose, and no pieces to be joined.
    """
    try:
        if zstandard.frame_content_size(packed) > most_bytes:
            return None
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=most_bytes, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
