"""Hashes of several texts: the quick way for short ASCII ones against the definition."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from stream.events.hashing import hex_hash

_PART = st.one_of(st.text(max_size=20), st.text("ab\x00\x7f", max_size=200), st.sampled_from(("a" * 127, "a" * 128)))


@given(st.lists(_PART, max_size=6))
def test_a_hash_of_texts_is_that_of_their_bytes_with_their_lengths(parts: list[str]) -> None:
    """Whatever they are made of, however long they are."""
    encoded = [part.encode() for part in parts]
    whole = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)

    assert blake2b(whole, digest_size=16).hexdigest() == hex_hash(*parts)
