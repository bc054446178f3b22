"""The generated tables of the README: ``python -m stream.readme`` rewrites them in place, a test checks that they are current."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stream.adapters.metric_table import markdown_table as metrics
from stream.agents.topics import needed
from stream.commands.settings import markdown as settings
from stream.config import Settings, make_settings

_SECTION = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_MEANING = {
    "topic_purchases": "in: purchases, refunds, cancellations",
    "topic_browses": "in: views, carts, searches, sessions",
    "topic_feedback": "in: ratings, NPS, CSAT, complaints",
    "topic_profiles": "in: identify, consent",
    "topic_outcomes": "in: what became of actions",
    "topic_actions": "out: what marketing automation should do",
    "topic_alerts": "out: churn alerts with their reasons",
    "topic_suppressions": "out: decisions that were held back, with the reason",
    "topic_tiers": "out: changes of tier and segment, with the reason",
    "topic_kpis": "out: repurchase, retention, churn, recall, referral, participation, value by tier; once a day",
    "topic_experiments": "out: outcomes of measured rules with their effects; once a day",
    "topic_models": "out: what happened to the churn model: promoted, pinned, released, drifted",
    "topic_repartition": "internal: records on their way to the partition that owns them",
    "topic_contributions": "internal: what partitions add to the next day's thresholds and model",
    "topic_epochs": "internal: thresholds and model, one version a day",
    "topic_rules": "internal: the rules that are live and what people have switched, every version of both",
    "topic_changelog": "internal: the customers' records",
}


def topics() -> str:
    """The table of topics that a worker creates, with its default settings."""
    config: Settings = make_settings()
    meaning = {getattr(config, name): text for name, text in _MEANING.items()}
    lines = ["| topic | partitions | kept as | meaning |", "|---|---|---|---|"]
    for topic in needed(config):
        text = meaning.get(topic.name, f"dead letters of `{topic.name.removesuffix('.dlq')}`")
        kept = "compacted" if topic.compacted else "log"
        lines.append(f"| `{topic.name}` | {topic.partitions} | {kept} | {text} |")
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The README with its generated sections made anew."""
    made = {"topics": topics, "settings": settings, "metrics": metrics}
    return _SECTION.sub(lambda found: f"{found[1]}{made[found[2]]().rstrip()}\n{found[3]}", text)


def main() -> None:
    """Rewrites ``README.md`` (or the file that is named)."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
