"""The texts of one partition: what is told of each at once, and what goes to the learner."""

from __future__ import annotations

from stream.events.kinds import Reviewed
from stream.events.sample import Sample
from stream.feedback.sentiment import BLAME, PRAISE, UNTOLD, Heard, Sentiment
from stream.feedback.text import grams
from stream.state.memory import MOST_SENTIMENTS, Memory


class Hearing:
    """Tells the sentiment of reviews by the version in force, and keeps those that teach until they are collected."""

    def __init__(self, texts_per_day: int) -> None:
        self.heard: list[Heard] = []
        self.sample = Sample(texts_per_day)
        self.is_on = texts_per_day > 0
        self.sentiment = Sentiment()

    def forget(self) -> None:
        """What was heard since the last commit never happened."""
        self.heard.clear()
        self.sample.start_again()

    def hear(self, event: Reviewed, message: bytes, memory: Memory) -> None:
        """Takes the text of a new review. Its words are kept nowhere."""
        found = grams(event.text)
        if not found:
            return
        told = self.sentiment.of(found)
        if told != UNTOLD:
            memory.sentiments = sorted([*memory.sentiments, (event.time_ms, told)])[-MOST_SENTIMENTS:]
        if event.rating >= PRAISE or 0.0 < event.rating <= BLAME:
            drawn = int.from_bytes(message[:4], "big")
            if self.sample.takes(drawn):
                praise = event.rating >= PRAISE
                self.heard.append(Heard(event.time_ms, event.customer, drawn, praise, told, found))
