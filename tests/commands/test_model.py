"""The churn model as people and programs are told of it."""

from __future__ import annotations

from io import StringIO

import msgspec
import orjson
from rich.console import Console

from stream.churn.features import NAMES
from stream.churn.trainer import Trainer
from stream.commands.model import shown, told
from stream.config import Settings
from tests.churn.test_trainer import days, examples


def test_what_moves_scores_most_comes_first() -> None:
    """Silence and repeats, in a shop where nothing else tells of churn; a step is a standard deviation of the feature."""
    trainer = Trainer(Settings())
    for day in days(examples(3_000, 1)):
        trainer.learn(day)
    model = trainer.freeze(20_000)
    found = told(model)

    assert orjson.loads(orjson.dumps(found)) == found
    assert ["silence", "repeats"] == [row["feature"] for row in found["features"][:2]]
    assert found["features"][0]["step_log_odds"] > 0.8 > -0.4 > found["features"][1]["step_log_odds"]
    at = NAMES.index("silence")
    assert found["features"][0]["step_log_odds"] == round(model.weights[at] * model.spreads[at], 6)
    assert (3_000, None, "2024-10-04") == (found["labels"], found["abstained"], found["day"])


def test_a_young_model_says_that_it_abstains() -> None:
    """And of figures that aren't known yet, that they aren't."""
    console = Console(width=120, record=True, file=StringIO())
    console.print(shown(told(msgspec.structs.replace(Trainer(Settings()).freeze(20_000), drifts=3))))
    page = console.export_text()

    assert "It abstains: 0 of 200 labels matured." in page
    assert "changed under it 3 times" in page
    assert "AUC" in page
    assert "–" in page
