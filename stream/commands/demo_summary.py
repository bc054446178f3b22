"""A demo's summary for people. `--json` prints the same figures for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any

_WIDTH = 110


def in_words(summary: Mapping[str, Any]) -> str:
    """The summary as a few lines, most interesting first."""
    lines = []
    if "orders" in summary:
        lines.append(
            f"{summary['orders']:,} orders ({summary['zero_orders']:,} of them worth zero, {summary['identical_lines']:,} "
            f"equal to another line) of {summary['customers']:,} customers in {summary['seconds']:g} s"
        )
    else:
        lines.append(
            f"{summary['events_sent']:,} events of {summary['customers']:,} customers in {summary['seconds']:g} s; "
            f"in the shop, {summary['shop_from'][:10]} to {(summary['shop_until'] or summary['shop_from'])[:10]}"
        )
    lines += [
        _counted("actions", summary["actions"]),
        _counted("held back", _by_reason(summary["suppressions"])),
        *([_counted("put off", _by_reason(summary["deferrals"]))] if summary["deferrals"] else []),
        f"churn alerts: {summary['alerts']:,}",
        _counted("dead letters", summary["dead_letters_by_reason"]),
        _counted("tiers", summary["tiers"]),
        _counted("segments", summary["segments"]),
        _model(summary["model"]),
    ]
    if "auc" in summary:
        scored = ", ".join(f"{day} {_figure(area)}" for day, area in summary["auc"].items())
        lines.append(f"AUC of the churn scores at each cut-off, with what was known then: {scored}")
    wrap = textwrap.TextWrapper(_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return "".join(wrap.fill(line) + "\n" for line in lines)


def _by_reason(counts: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in counts.items():
        found[name.partition(": ")[2].replace("_", " ")] += count
    return found


def _counted(what: str, counts: Mapping[str, int]) -> str:
    """A total with its parts, largest first.

    >>> _counted("actions", {"welcome": 2, "lapsed-60": 1500})
    'actions: 1,502 (lapsed-60 1,500, welcome 2)'
    """
    parts = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(counts.items(), key=lambda row: -row[1]))
    return f"{what}: {sum(counts.values()):,}" + (f" ({parts})" if parts else "")


def _model(model: Mapping[str, Any]) -> str:
    if model["abstained"]:
        return f"churn model: abstains, {model['labels']:,} labels so far"
    return (
        f"churn model: AUC {_figure(model['auc'])}, lift quality {_figure(model['lift_quality'])}, Brier "
        f"{_figure(model['brier'])}, calibration error {_figure(model['calibration_error'])}; learnt from "
        f"{model['labels']:,} labels"
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
