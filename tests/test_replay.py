"""Replay as the black box that others test against: same events, same bytes; no peeking; nothing dropped."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.datasets import cdnow_events
from stream.testing import message

FILES = (
    "actions.jsonl",
    "alerts.jsonl",
    "customers.jsonl",
    "dead_letters.jsonl",
    "suppressions.jsonl",
    "summary.json",
    "tiers.jsonl",
)


def _line(name: str, customer: str, at: str, message_id: str, **properties: Any) -> bytes:
    return orjson.dumps(message(name, customer, at, message_id=message_id, **properties))


@pytest.fixture(scope="module")
def history() -> list[bytes]:
    """The orders of 250 real customers, with browsing, refunds, feedback and every kind of nonsense mixed in."""
    rng = random.Random(7)
    lines = []
    for event in cdnow_events():
        customer = event["userId"]
        if customer > "00250":
            continue
        lines.append(orjson.dumps(event))
        number, at = event["messageId"], event["timestamp"]
        match rng.randrange(8):
            case 0:
                lines.append(_line("Order Refunded", customer, at, f"r{number}", order_id=number, total=5.0))
            case 1:
                lines.append(_line("Order Cancelled", customer, at, f"c{number}", order_id=number))
            case 2:
                noon = at.replace("T00", "T12")
                lines.append(_line("Product Added", customer, noon, f"a{number}", product_id="cd", price=9.5))
            case 3:
                lines.append(_line("Product Reviewed", customer, at, f"v{number}", product_id="cd", rating="2"))
    for number in range(40):
        lines.append(
            _line("Product Viewed", "00001", f"1997-03-0{1 + number % 5}T08:00:00Z", f"w{number}", product_id="x")
        )
    return [
        *lines,
        b"not json",
        b"\xff\xfe",
        b"[]",
        b'{"type":"track","event":"Nobody Knows This"}',
        _line("Order Completed", "00002", "1997-04-01T00:00:00", "nozone", order_id="z", revenue=1.0),
        _line("Order Completed", "00002", "1997-04-01T00:00:00Z", "minus", order_id="z", revenue=-1.0),
        _line("Order Completed", "00003", "1997-04-02T00:00:00Z", "twice", order_id="t", revenue=1.0),
        _line("Order Completed", "00003", "1997-04-03T00:00:00Z", "twice", order_id="t", revenue=2.0),
    ]


def _replay(folder: Path, lines: list[bytes], *flags: str, files: int = 1) -> Path:
    folder.mkdir()
    paths = []
    for number in range(files):
        paths.append(folder / f"in{number}.jsonl")
        paths[-1].write_bytes(b"\n".join(lines[number::files]) + b"\n")
    out = folder / "out"
    result = CliRunner().invoke(main, ["replay", *map(str, paths), "--out", str(out), "--json", *flags])
    assert result.exit_code == 0, result.output
    return out


def _rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, history: list[bytes]) -> Path:
    """One run over the history as it stands."""
    return _replay(tmp_path_factory.mktemp("replay") / "plain", history)


def test_order_and_repetition_of_lines_do_not_show(tmp_path: Path, history: list[bytes], out: Path) -> None:
    """Shuffled, repeated and spread over three files, the same events give the same bytes."""
    rng = random.Random(11)
    mixed = history + rng.choices(history, k=300)
    rng.shuffle(mixed)

    again = _replay(tmp_path / "mixed", mixed, files=3)

    assert {name: (out / name).read_bytes() for name in FILES} == {name: (again / name).read_bytes() for name in FILES}


def test_scores_never_saw_a_later_event(tmp_path: Path, history: list[bytes]) -> None:
    """Scores as of an instant are the same when everything from that instant on is missing from the input."""
    at = "1997-12-01"
    earlier = [line for line in history if b'"1997' not in line or b'"1997-12' not in line]
    earlier = [line for line in earlier if b'"1998-' not in line]
    whole = _replay(tmp_path / "whole", history, "--score-at", at, "--score-at", "1997-06-01T12:00:00Z")
    cut = _replay(tmp_path / "cut", earlier, "--score-at", at, "--score-at", "1997-06-01T12:00:00Z")

    scores = _rows(whole / "scores.jsonl")

    assert (whole / "scores.jsonl").read_bytes() == (cut / "scores.jsonl").read_bytes()
    assert {"1997-06-01T12:00:00Z", f"{at}T00:00:00Z"} == {row["as_of"] for row in scores}
    assert all(0.0 < row["churn_probability"] < 1.0 and row["features"] for row in scores)


def test_every_line_ends_up_somewhere(history: list[bytes], out: Path) -> None:
    """Good lines are applied, bad ones are dead letters with their reason, unknown ones are counted; nothing else."""
    summary = orjson.loads((out / "summary.json").read_bytes())
    reasons = Counter(row["reason"] for row in _rows(out / "dead_letters.jsonl"))

    expected = Counter(("not_json", "not_utf8", "not_segment", "no_zone", "negative_money", "same_id_other_body"))
    assert expected == reasons
    assert {"unknown_event": 1} == {k: v for k, v in summary["ignored"].items() if k == "unknown_event"}
    passed_over = sum(n for why, n in summary["ignored"].items() if why != "refund_clamped")
    told = sum(summary["events"].values()) + passed_over + reasons.total()
    assert len(set(history)) == told


def test_run_names_the_lines_of_dead_letters(tmp_path: Path) -> None:
    """What depends on the input's layout is in run.json: file and line of every refused line, repeats included."""
    good = _line("Order Completed", "a", "2026-01-01T00:00:00Z", "m1", order_id="o", revenue=1.0)
    out = _replay(tmp_path / "r", [good, b"junk", b"", good, b"junk"])
    run = orjson.loads((out / "run.json").read_bytes())

    assert [2, 5] == [row["line"] for row in run["refused_lines"]]
    assert (5, 1, 2) == (run["lines"], run["blank_lines"], run["repeated_lines"])
    assert 1 == len(_rows(out / "dead_letters.jsonl"))


def test_until_is_the_instant_of_the_customers(tmp_path: Path) -> None:
    """Customers are as of --until, silence up to it included; an event after it is refused."""
    lines = [
        _line("Order Completed", "a", "2026-01-01T10:00:00Z", "m1", order_id="o1", revenue=12.34),
        _line("Order Completed", "a", "2026-02-01T10:00:00Z", "m2", order_id="o2", revenue=1.0),
    ]
    out = _replay(tmp_path / "u", lines, "--until", "2026-01-20")
    (row,) = _rows(out / "customers.jsonl")

    assert 19 == row["recency_days"]
    assert {"frequency": 0, "monetary_minor": 0} == row["windows"]["7"]
    assert {"frequency": 1, "monetary_minor": 1234} == row["windows"]["30"] == row["lifetime"]
    assert ("low", 3, 3, 3) == (row["tier"], *row["rfm"].values())
    assert ["time_out_of_range"] == [r["reason"] for r in _rows(out / "dead_letters.jsonl")]
    assert {"welcome", "tutorial", "review-request"} == {r["rule"]["id"] for r in _rows(out / "actions.jsonl")}


def test_nothing_in_gives_nothing_out(tmp_path: Path) -> None:
    """An empty file is a run like any other."""
    out = _replay(tmp_path / "e", [])

    assert {name: b"" for name in FILES if name.endswith("l")} == {
        name: (out / name).read_bytes() for name in FILES if name.endswith("l")
    }


def test_packed_files_are_read(tmp_path: Path, history: list[bytes], out: Path) -> None:
    """A .gz file gives what the plain one gives."""
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\n".join(history)))
    result = CliRunner().invoke(main, ["replay", str(packed), "--out", str(tmp_path / "out")])

    assert result.exit_code == 0, result.output
    assert (out / "actions.jsonl").read_bytes() == (tmp_path / "out" / "actions.jsonl").read_bytes()


def test_mistakes_on_the_command_line_come_all_at_once(tmp_path: Path) -> None:
    """Two wrong instants are two lines of one message, without a traceback."""
    result = CliRunner().invoke(
        main, ["replay", "x.jsonl", "--out", str(tmp_path), "--until", "soon", "--score-at", "2026-13-01"]
    )

    assert 1 == result.exit_code
    assert "2 problems" in result.output
    assert "'soon'" in result.output
    assert "'2026-13-01'" in result.output
