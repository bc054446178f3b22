"""The RFM job on Faust, as its user guide would have it: records, a table on RocksDB with its changelog, one agent.

At least once: several issues on Faust's ``exactly_once`` are open. Run as ``python job.py worker -l warn``.
"""

from __future__ import annotations

import os

import faust

CENTS_PER_ACTION = 32
REMEMBERED = 20


class Properties(faust.Record, serializer="json"):
    revenue: float


class Purchase(faust.Record, serializer="json"):
    userId: str  # noqa: N815  Segment's name
    properties: Properties


class Customer(faust.Record, serializer="json"):
    purchases: int
    total_cents: int
    last_cents: list[int]


class Action(faust.Record, serializer="json"):
    action_id: str
    userId: str  # noqa: N815  Segment's name
    purchases: int
    total_cents: int
    recent_cents: int


app = faust.App(
    os.environ["RFM_GROUP"],
    broker=f"kafka://{os.environ['RFM_BROKER']}",
    store="rocksdb://",
    datadir=os.environ["RFM_FOLDER"],
    topic_partitions=4,
    topic_replication_factor=1,
    web_enabled=False,
)
purchases = app.topic(os.environ["RFM_INPUT"], key_type=str, key_serializer="raw", value_type=Purchase)
actions = app.topic(os.environ["RFM_OUTPUT"], key_type=str, key_serializer="raw", value_type=Action)
customers = app.Table("customers", key_type=str, value_type=Customer)


@app.agent(purchases)
async def fold(stream: faust.StreamT[Purchase]) -> None:
    async for purchase in stream:
        customer = customers.get(purchase.userId) or Customer(purchases=0, total_cents=0, last_cents=[])
        cents = round(purchase.properties.revenue * 100)
        customer.purchases += 1
        customer.total_cents += cents
        customer.last_cents = [*customer.last_cents, cents][-REMEMBERED:]
        customers[purchase.userId] = customer
        if cents % CENTS_PER_ACTION == 0:
            await actions.send(
                key=purchase.userId,
                value=Action(
                    action_id=f"{purchase.userId}:{customer.purchases}",
                    userId=purchase.userId,
                    purchases=customer.purchases,
                    total_cents=customer.total_cents,
                    recent_cents=sum(customer.last_cents),
                ),
            )


if __name__ == "__main__":
    app.main()
