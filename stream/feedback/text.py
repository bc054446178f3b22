"""A text as hashed n-grams: all that is kept of it, and only on its way to the learner.

Writing with spaces is cut into words, and words into the three to five characters beside each other (after Bojanowski et al.,
"Enriching word vectors with subword information", TACL 2017), with pairs of words so that "not good" is something of its own;
Chinese and its neighbours, which are written without spaces, into one to three characters. Both are hashed (Weinberger et al.,
"Feature hashing", ICML 2009), so no vocabulary has to be kept and no language has to be named.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from struct import pack, unpack
from zlib import crc32

BITS = 16
"""Of a hash. Fewer: n-grams meet; more: a larger version for everybody, daily."""
MOST_CHARACTERS = 600
"""Of a text that are looked at. More: an essay takes long; fewer: what is said last is not heard."""
_WORD = re.compile(r"[^\W\d_]+|[!?]+|[:;]-?[()]")
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_MASK = (1 << BITS) - 1
_MOST_WORDS = 8_192
"""Words whose n-grams are kept at hand: most of what is written is written in few words. Fewer: they are cut again and again, some
5 µs each; more: memory, some 700 bytes a word."""


def grams(text: str) -> bytes:
    """Distinct hashes of a text's n-grams, ascending, two bytes each; nothing of a text without words.

    >>> len(grams("Good!")) // 2, grams("123 ..."), grams("很好") == grams("很好 ")
    (12, b'', True)
    """
    plain = unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold()
    found: set[int] = set()
    if not plain.isascii():
        for run in _NO_SPACES.findall(plain):
            found.update(_code(run[at : at + size]) for size in (1, 2, 3) for at in range(len(run) - size + 1))
        plain = _NO_SPACES.sub(" ", plain)
    words = _WORD.findall(plain)
    found.update(*map(_of_word, words))
    found.update([_code(f"{one} {other}") for one, other in pairwise(words)])
    return pack(f"<{len(found)}H", *sorted(found))


@lru_cache(_MOST_WORDS)
def _of_word(word: str) -> tuple[int, ...]:
    padded = f"<{word}>"
    cut = {padded[at : at + size] for size in (3, 4, 5) for at in range(len(padded) - size + 1)}
    return tuple(_code(gram) for gram in {padded, *cut})


def _code(gram: str) -> int:
    return crc32(gram.encode()) & _MASK


def codes_of(data: bytes) -> tuple[int, ...]:
    """The hashes in bytes of `grams`."""
    return unpack(f"<{len(data) // 2}H", data)
