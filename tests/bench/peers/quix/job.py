"""The RFM job on Quix Streams: a streaming data frame with state in RocksDB and its changelog, exactly once."""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

CENTS_PER_ACTION = 32
REMEMBERED = 20


def fold(purchase: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Folds a purchase into its customer; 3 % of them cause an action."""
    customer: dict[str, Any] = state.get("customer") or {"purchases": 0, "total_cents": 0, "last_cents": []}
    cents = round(purchase["properties"]["revenue"] * 100)
    customer["purchases"] += 1
    customer["total_cents"] += cents
    customer["last_cents"] = [*customer["last_cents"], cents][-REMEMBERED:]
    state.set("customer", customer)
    if cents % CENTS_PER_ACTION:
        return None
    return {
        "action_id": f"{purchase['userId']}:{customer['purchases']}",
        "userId": purchase["userId"],
        "purchases": customer["purchases"],
        "total_cents": customer["total_cents"],
        "recent_cents": sum(customer["last_cents"]),
    }


def main() -> None:
    """Runs until it is told to stop."""
    app = Application(
        broker_address=os.environ["RFM_BROKER"],
        consumer_group=os.environ["RFM_GROUP"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=float(os.environ["RFM_COMMIT_SECONDS"]),
        state_dir=os.environ["RFM_FOLDER"],
        loglevel="WARNING",
    )
    purchases = app.topic(os.environ["RFM_INPUT"], key_deserializer="str", value_deserializer="json")
    actions = app.topic(os.environ["RFM_OUTPUT"], key_serializer="str", value_serializer="json")
    frame = app.dataframe(purchases)
    frame = frame.apply(fold, stateful=True)
    frame = frame.filter(lambda action: action is not None)
    frame.to_topic(actions)
    app.run()


if __name__ == "__main__":
    main()
