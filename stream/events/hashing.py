"""Stable hashes: the same on every machine, in every process, for ever (Python's own ``hash`` is none of these)."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

# Hashes of nothing yet: to copy one takes half the time of setting one up.
_blake64 = blake2b(digest_size=8)
_blake128 = blake2b(digest_size=16)
_length = Struct(">I").pack


def digest64(text: str) -> bytes:
    """64-bit hash of a text (BLAKE2b, RFC 7693) as its 8 bytes; they sort as `hash64` does.

    Two of a customer's few hundred remembered ids collide with a chance below 1 in 10**14.

    >>> digest64("order-1").hex()
    '2599000e8c1b023d'
    """
    digest = _blake64.copy()
    digest.update(text.encode())
    return digest.digest()


def hash64(text: str) -> int:
    """`digest64` as an unsigned number.

    >>> hash64("order-1")
    2709196713320186429
    """
    return int.from_bytes(digest64(text), "big")


def hex_hash(*parts: str) -> str:
    """128-bit hash of several texts as 32 hex digits; parts are length-prefixed so that they can't run together.

    >>> hex_hash("ab", "c") == hex_hash("a", "bc")
    False
    """
    digest = _blake128.copy()
    text = "".join([_LENGTHS[len(part)] + part if len(part) < 128 else _NOT_SHORT for part in parts])
    if text.isascii():  # then each character is a byte, and mostly so are all
        digest.update(text.encode())
    else:
        digest.update(b"".join([_length(len(encoded)) + encoded for encoded in map(str.encode, parts)]))
    return digest.hexdigest()


_LENGTHS = tuple([_length(length).decode() for length in range(128)])
"""Prefixes of short parts, as text."""
_NOT_SHORT = "\x80"


def owner_partition(key: bytes, partitions: int) -> int:
    """The partition that owns a customer key: murmur2 as Kafka's Java producer and aiokafka have it.

    >>> owner_partition(b"customer-1", 4), owner_partition(b"customer-2", 4)
    (1, 2)
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 (Appleby 2008) with the seed of Kafka's ``Utils.murmur2``; unsigned.

    >>> murmur2(b"21") == -973932308 & 0xFFFFFFFF  # a case of Kafka's own test, UtilsTest.testMurmur2
    True
    """
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    words = length >> 2
    h = 0x9747B28C ^ length
    read = _READ_WORDS[words] if words < len(_READ_WORDS) else Struct(f"<{words}I").unpack_from
    for k in read(data):
        k = k * m & mask
        h = (h * m ^ (k ^ k >> 24) * m) & mask  # one mask for both: what lies above it can't come down before
    if length & 3:
        h = (h ^ int.from_bytes(data[words << 2 :], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


_READ_WORDS = tuple(Struct(f"<{words}I").unpack_from for words in range(65))
"""Readers of the 32-bit words of a key, ready for every key of up to 256 bytes; a longer one gets its own each time."""
