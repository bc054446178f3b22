"""The live view: everything is on the screen at both sizes, figures follow the metrics, and pipes get plain lines."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from stream.adapters.metric_table import METRICS
from stream.commands import live_figures
from stream.commands.live import LiveView, picture
from stream.commands.live_figures import LiveFigures, samples
from tests.commands.live_figures_example import example


def screen(figures: LiveFigures, width: int, height: int) -> list[str]:
    """The picture as lines of text."""
    console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    console.print(picture(figures, width, height), height=height)
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (200, 60), (100, 34), (99, 33)])
def test_every_size_fits_and_shows_every_part(width: int, height: int) -> None:
    """No line is longer than the terminal, no part is missing, and the newest action is on top."""
    lines = screen(example(), width, height)
    text = "\n".join(lines)

    assert height == len(lines)
    assert width >= max(len(line) for line in lines)
    for part in ("Events", "events/s", "p99", "Churn model", "0.827", "learnt from 3,184", "Tiers", "3,944 customers",
                 "RFM segments", "Champions", "Actions  187", "Churn alerts  23", "held back", "http://127.0.0.1:6066"):  # fmt: skip
        assert part.lower() in text.lower()
    assert "10:15:30" in next(
        line for line in lines[lines.index(next(x for x in lines if "Actions" in x)) :] if ":" in line
    )


def test_before_anything_is_known_it_says_so() -> None:
    """Empty figures are a picture as well: nothing divides by zero, and the abstaining model gives its reason."""
    text = "\n".join(screen(LiveFigures(note="starting Kafka", min_labels=300), 120, 40))

    assert all(
        part in text for part in ("starting Kafka", "no action yet", "abstains 0 of 300 labels", "nothing held back")
    )


def test_figures_follow_a_page_of_metrics() -> None:
    """The text format of a worker's /metrics, twice: rate, lag over partitions, latency of the minute, dead letters."""
    page = (
        'winback_events_total{{topic="a",kind="purchase"}} {events}\nwinback_events_total{{topic="b",kind="nps"}} 5\n'
        'winback_consumer_lag_records{{topic="a",partition="0"}} 3\nwinback_consumer_lag_records{{topic="a",partition="1"}} 4\n'
        'winback_events_rejected_total{{topic="a",stage="decode",reason="not_json"}} 2\nwinback_ready 1\n'
        'winback_event_to_action_seconds_bucket{{le="0.1"}} {fast}\n'
        'winback_event_to_action_seconds_bucket{{le="3.0"}} {all}\nwinback_event_to_action_seconds_bucket{{le="+Inf"}} {all}\n'
        "winback_model_auc NaN\nwinback_model_abstained 0\n"
    )
    figures = LiveFigures()
    # An hour ago everything was slow; it must not colour the last minute.
    for at_seconds, events, fast, every in ((0.0, 0, 0, 1000), (3600.0, 1000, 0, 1000), (3602.0, 1500, 100, 1100)):
        figures.on_metrics(samples(page.format(events=events, fast=fast, all=every)), at_seconds)

    assert (250.0, 1505, 7, 3602.0) == (figures.rate, figures.events, figures.lag, figures.uptime_seconds)
    assert (2, {"not_json": 2}) == (figures.dead_letters, dict(figures.rejected))
    assert (0.05, 0.099) == pytest.approx((figures.latency_p50_seconds, figures.latency_p99_seconds))
    assert (True, False) == (figures.ready, figures.abstained)


def test_a_restarted_worker_is_no_negative_rate() -> None:
    """Its counters begin anew; the curve shows what was counted since, nothing below zero."""
    figures = LiveFigures()
    for at_seconds, events in ((0.0, 900.0), (1.0, 1000.0), (2.0, 10.0), (3.0, 60.0)):
        figures.on_metrics([("winback_events_total", {}, events)], at_seconds)

    assert [100.0, 0.0, 50.0] == list(figures.rates)


def test_every_metric_that_the_view_reads_exists() -> None:
    """A renamed metric would leave a part of the screen empty for ever."""
    source = Path(live_figures.__file__).read_text(encoding="utf-8")
    read = {name.removesuffix("_bucket") for name in re.findall(r'"(winback_\w+)"', source)}
    read |= {f"winback_model_{name}" for name in live_figures.Quality._fields}

    assert set() == read - {metric.name for metric in METRICS}
    assert len(read) > 8


def test_without_a_terminal_each_action_is_a_line_once() -> None:
    """In a pipe or a log: no control characters, nothing twice, the figures now and then."""
    out = io.StringIO()
    figures = example()
    with LiveView(figures, Console(file=out, width=80)) as view:
        view.refresh()
        view.refresh()
        figures.on_suppression({"reason": "frequency_cap"})
        view.refresh()
    lines = out.getvalue().splitlines()

    assert "\x1b" not in out.getvalue()
    assert live_figures.KEPT == sum(" action " in line for line in lines)
    assert 23 == sum(" alert " in line for line in lines)
    assert 1 == sum("events/s" in line for line in lines)


def test_on_a_terminal_the_old_screen_comes_back() -> None:
    """The view uses the alternate screen and leaves it, so the shell's history is untouched."""
    out = io.StringIO()
    with LiveView(
        example(), Console(file=out, width=120, height=40, force_terminal=True, _environ={"TERM": "xterm"})
    ) as view:
        view.refresh()

    assert (
        out.getvalue().index("\x1b[?1049h") < out.getvalue().index("Churn model") < out.getvalue().index("\x1b[?1049l")
    )
