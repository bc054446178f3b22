"""Praise and blame: learnt from rated texts, the same wherever, told only when it can be; never a word is kept."""

from __future__ import annotations

import random

import pytest
from river import linear_model, optim

from stream.actions.message import Stream
from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.feedback.sentiment import LEAST_TEXTS, UNTOLD, Heard, Learner, Sentiment, in_a_word
from stream.feedback.text import MOST_CHARACTERS, codes_of, grams
from stream.processor.epochs import Coordinator, DayClosed, Said
from stream.segments.population import Histograms
from stream.testing import Shop

GOOD = ("great tea, will buy again", "lovely and fast", "很好，下次还会买", "质量很好", "excellent, not bad at all")
BAD = ("broken and late", "not good, money back", "质量不好，很失望", "太差了，不会再买", "awful smell")
DAY = 20_000


def _texts(number: int, day: int = DAY, seed: int = 1) -> list[Heard]:
    chance = random.Random(seed)
    found = []
    for n in range(number):
        praise = chance.random() < 0.5
        text = " ".join(chance.sample(GOOD if praise else BAD, 2))
        drawn = chance.getrandbits(32)
        found.append(Heard(day * DAY_MS + n, f"c{n}", drawn, praise, UNTOLD, grams(text)))
    return found


def _taught(number: int = 600) -> Sentiment:
    learner = Learner(10_000)
    learner.learn({DAY: _texts(number)})
    return Sentiment(learner.state())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Great, lovely tea!", "praise"), ("AWFUL and broken", "blame"), ("很好", "praise"), ("太差了，很失望", "blame"),
        ("Das Paket kam am Dienstag", "unclear"), ("Привет", "unclear"),
    ],
)  # fmt: skip
def test_both_languages_are_told_and_others_are_not(text: str, word: str) -> None:
    """By one model; what is said in words that were hardly ever heard is unclear."""
    assert word == in_a_word(_taught().of(grams(text)))


def test_nothing_is_told_before_enough_was_heard_of_both_sides() -> None:
    """A thousand times praise says nothing about blame."""
    learner = Learner(10_000)
    learner.learn({DAY: [heard for heard in _texts(2_000) if heard.praise]})
    assert Sentiment(learner.state()).of(grams("great")) == UNTOLD == Sentiment().of(grams("great"))
    learner.learn({DAY + 1: [heard for heard in _texts(4 * LEAST_TEXTS, DAY + 1) if not heard.praise]})

    assert Sentiment(learner.state()).of(grams("great")) > 0.5


def test_the_weights_are_rivers() -> None:
    """What is told is what River's own regression tells that has seen the same in the canonical order, up to half a float."""
    texts = _texts(300)
    model = linear_model.LogisticRegression(optimizer=optim.SGD(1.0), intercept_lr=0.1)
    for heard in texts:
        codes = codes_of(heard.grams)
        model.learn_one(dict.fromkeys(codes, len(codes) ** -0.5), heard.praise)
    learner = Learner(10_000)
    learner.learn({DAY: random.Random(2).sample(texts, len(texts))})
    known = Sentiment(learner.state())

    for text in (*GOOD, *BAD):
        codes = codes_of(grams(text))
        expected = model.predict_proba_one(dict.fromkeys(codes, len(codes) ** -0.5))[True]  # type: ignore[no-untyped-call]
        assert known.of(grams(text)) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("partitions", [1, 3])
def test_versions_are_the_same_however_texts_are_shared_out(partitions: int) -> None:
    """And after a restart in between; of too many a sample is drawn by the messages' digests."""
    settings = Settings(sentiment_texts_per_day=150)
    alone, coordinator = Learner(150), Coordinator(settings, partitions)
    for day in range(DAY, DAY + 3):
        texts = _texts(200, day, seed=day)
        alone.learn({day: texts})
        for number in range(partitions):
            own = texts[number::partitions][::-1]
            coordinator.contribute(Said(partition=number, day=day, texts=own))
            coordinator.contribute(DayClosed(partition=number, day=day, histograms=Histograms()))
        epoch = coordinator.fold()

        assert epoch is not None and epoch.sentiment == alone.state() != b""
        coordinator = Coordinator(settings, partitions)
        coordinator.resume(epoch)
    assert Sentiment(alone.state()).quality.labels == 450


def test_the_accuracy_is_of_what_was_told_before() -> None:
    """Right, wrong and unclear, as they were said; texts of which nothing could be said yet count nowhere."""
    told = [(True, 0.9), (True, 0.1), (False, 0.2), (False, 0.5), (True, UNTOLD)]
    learner = Learner(10)
    learner.learn({DAY: [Heard(n, "c", n, praise, said, grams("tea")) for n, (praise, said) in enumerate(told)]})
    quality = Sentiment(learner.state()).quality

    assert (quality.labels, round(quality.told, 2), round(quality.accuracy, 2)) == (5, 0.75, 0.67)


def test_long_texts_are_heard_up_to_a_length() -> None:
    """An essay takes no longer, and what is no word is none."""
    assert grams("word " * 10_000) == grams("word " * (MOST_CHARACTERS // 5))
    assert grams("") == grams("12.50 €") == b""


def _review(shop: Shop, number: int, at: str, text: str, rating: str) -> None:
    shop.send("Product Reviewed", f"c{number}", at, product_id="p", rating=rating, review_body=text)


def test_a_shop_learns_and_a_customer_has_a_sentiment() -> None:
    """From reviews to the view and to conditions, with no word in records, contributions and versions."""
    shop = Shop()
    chance = random.Random(4)
    for number in range(3 * LEAST_TEXTS):
        praise = bool(number % 2)
        text = chance.choice(GOOD if praise else BAD) + " Zanzibar"
        _review(shop, number, f"2026-03-01T{number // 60:02d}:{number % 60:02d}:00Z", text, "5" if praise else "1")
    assert shop.customer("c1")["sentiment"] is None
    for n, (text, rating) in enumerate((("awful and late", ""), ("broken, money back", "1"), ("太差了", "2"))):
        shop.send("Product Reviewed", "ann", f"2026-03-02T10:0{n}:00Z", product_id="p", rating=rating, review_body=text)
    seen = shop.customer("ann")

    assert seen["sentiment"]["word"] == "blame" and seen["sentiment"]["praise"] < 0.3
    kept = [*shop.store.values(), *(m.value or b"" for out in shop.outcomes for m in out.messages)]
    assert not any(b"anzibar" in value or "太差".encode() in value for value in kept)
    assert any(
        m.stream is Stream.CONTRIBUTIONS and b"Said" in (m.value or b"") for out in shop.outcomes for m in out.messages
    )


def test_it_can_be_switched_off() -> None:
    """Then nothing is heard and nothing told."""
    shop = Shop(settings=Settings(clock="event", sentiment_texts_per_day=0))
    _review(shop, 1, "2026-03-01T10:00:00Z", "great", "5")
    shop.wait_until("2026-03-03T00:00:00Z")

    assert shop.epoch is not None and shop.epoch.sentiment == b""
    assert shop.customer("c1")["sentiment"] is None
    assert shop.customer("c1")["last_rating"] == 5.0
