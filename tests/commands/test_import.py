"""From rows to messages: the mapping is checked whole, amounts are exact, ids repeat, bad rows come back with the reason."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from stream.adapters.files import Progress, Rejects
from stream.adapters.files_import import Plan, Ready, Refused, prepared
from stream.adapters.files_mapping import MappingError, load
from stream.adapters.files_rows import Bad
from stream.adapters.files_values import RowError, number
from stream.commands.import_ import import_
from stream.config import Settings

RETAIL = """\
source: shop
event: Order Completed
customer: Customer
timestamp: {column: Date, format: "%d.%m.%Y %H:%M", zone: Europe/London}
decimal: ","
fields:
  currency: {value: USD}
lines:
  order: Invoice
  fields: {product_id: Code, quantity: Quantity, price: Price}
refunds: {column: Invoice, starts_with: C}
"""

SALES = """\
Invoice;Code;Quantity;Date;Price;Customer
1001;A;2;01.07.2025 10:00;1,10;7
1001;B;1;01.07.2025 10:00;1.000,05;7
1001;B;1;01.07.2025 10:00;1.000,05;7
1002;A;1;02.07.2025 12:30;1,20;8
C1003;B;-1;03.07.2025 09:00;1.000,05;7
C1004;Z;-3;04.07.2025 09:00;2,00;7
"""


def shop(folder: Path, sales: str = SALES, mapping: str = RETAIL) -> Plan:
    """A plan for a file of invoice lines."""
    (folder / "map.yaml").write_text(mapping + 'delimiter: ";"\n', encoding="utf-8")
    (folder / "sales.csv").write_text(sales, encoding="utf-8")
    plan = Plan((folder / "sales.csv",), load(folder / "map.yaml"))
    plan.check()
    return plan


def items(plan: Plan, path: Path, skip: int = 0) -> list[Ready | Refused]:
    """All items of a file, from one on."""
    with closing(plan.table(path)) as table:
        return list(prepared(table, plan, Settings(), skip))


def outcome(plan: Plan, skip: int = 0) -> tuple[list[dict[str, Any]], list[Bad]]:
    """Messages and bad rows of a plan's files."""
    good: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for path in plan.files:
        for item in items(plan, path, skip):
            if isinstance(item, Ready):
                good.append(json.loads(item.value, parse_float=Decimal))
            else:
                bad += item
    return good, bad


def test_invoice_lines_become_orders_with_exact_sums(tmp_path: Path) -> None:
    """Lines of one invoice are one order, equal lines count twice, and cents survive; local time becomes UTC."""
    good, bad = outcome(shop(tmp_path))

    assert [] == bad
    assert "shop-1001" == good[0]["messageId"]
    assert "2025-07-01T09:00:00Z" == good[0]["timestamp"]
    assert Decimal("2002.30") == good[0]["properties"]["revenue"]
    assert ["A", "B", "B"] == [p["product_id"] for p in good[0]["properties"]["products"]]


def test_a_return_refunds_the_order_that_holds_the_product(tmp_path: Path) -> None:
    """An export's return has a number of its own; its product tells the order. One for an unknown order keeps its number."""
    good, _ = outcome(shop(tmp_path))
    refunds = [m["properties"] | {"id": m["messageId"]} for m in good if m["event"] == "Order Refunded"]

    assert ["1001", "C1004"] == [r["order_id"] for r in refunds]
    assert [Decimal("1000.05"), Decimal("6.00")] == [r["revenue"] for r in refunds]
    assert ["shop-C1003-1001", "shop-C1004"] == [r["id"] for r in refunds]


def test_one_bad_line_refuses_its_whole_order(tmp_path: Path) -> None:
    """An order without one of its lines would be worth too little, so every line of it is given back with the reason."""
    good, bad = outcome(
        shop(tmp_path, SALES.replace("1001;B;1;01.07.2025 10:00;1.000,05", "1001;B;1;01.07.2025 10:00;1000.05", 1))
    )

    assert [2, 3, 4] == [b.number for b in bad]
    assert "order 1001: row 3: column 'Price': '1000.05' is not a number with ',' before the decimals" == bad[0].reason
    assert "1002" == good[0]["properties"]["order_id"]


def test_a_line_after_the_end_of_its_order_is_refused(tmp_path: Path) -> None:
    """Half an order would replace the whole one; a file that isn't sorted says so, row by row."""
    mapping = RETAIL.replace("  order: Invoice\n", "  order: Invoice\n  window_rows: 1\n")
    _, bad = outcome(shop(tmp_path, SALES + "1001;C;1;01.07.2025 10:00;5,00;7\n", mapping))

    assert [(8, "order 1001 ended more than 1 rows before; sort the file by order")] == [
        (b.number, b.reason) for b in bad
    ]


def test_rows_are_refused_for_what_the_worker_would_refuse(tmp_path: Path) -> None:
    """Broken cells, missing cells and values out of range come back with line, reason and the row as it was."""
    (tmp_path / "views.csv").write_bytes(
        b"who,what,when\nann,P1,2025-01-31T10:00:00Z\n,P1,2025-01-31T10:00:00Z\nann,P1\nann,P1,yesterday\n"
        b"ann,P1,1971-01-01T00:00:00Z\nann,\xff,2025-01-31T10:00:00Z\nann,P1,2025-01-31T10:00:00\n\nann,P1,2025-01-31T10:00:00Z\n"
    )
    (tmp_path / "map.yaml").write_text(
        "event: Product Viewed\ncustomer: who\ntimestamp: when\nfields: {product_id: what}\n", encoding="utf-8"
    )
    good, bad = outcome(Plan((tmp_path / "views.csv",), load(tmp_path / "map.yaml")))

    assert ["views-2", "views-10"] == [m["messageId"] for m in good]
    assert [3, 4, 5, 6, 7, 8] == sorted(b.number for b in bad)
    reasons = {b.number: b.reason for b in bad}
    assert "$.userId: neither userId nor anonymousId is given" == reasons[3]
    assert "2 columns instead of 3" == reasons[4]
    assert "column 'when': 'yesterday' is not a time of format iso" == reasons[5]
    assert "before 1990-01-01" in reasons[6]
    assert "not text in this encoding" in reasons[7]
    assert "has no time zone" in reasons[8]


def test_the_same_rows_give_the_same_ids_whatever_carries_them(tmp_path: Path) -> None:
    """CSV, gzipped CSV, JSON Lines and Parquet of one table become the same messages; equal rows stay two events."""
    rows = [{"who": "ann", "paid": 1.5, "at": "2025-01-31T10:00:00Z"}] * 2
    mapping = (
        "source: till\nevent: Order Completed\nid: [who, at]\ncustomer: who\ntimestamp: at\nfields: {revenue: paid}\n"
    )
    (tmp_path / "map.yaml").write_text(mapping.replace("id: [who, at]\n", ""), encoding="utf-8")
    table = "who,paid,at\n" + "".join(f"{r['who']},{r['paid']},{r['at']}\n" for r in rows)
    (tmp_path / "a.csv").write_text(table, encoding="utf-8")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(table.encode()))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    columns = load(tmp_path / "map.yaml")
    found = {p.name: outcome(Plan((p,), columns))[0] for p in sorted(tmp_path.iterdir()) if p.name != "map.yaml"}

    assert 2 == len({m["messageId"] for m in found["a.csv"]})
    assert found["a.csv"] == found["b.csv.gz"]
    # The header is line 1 of a CSV file.
    assert (
        ["till-1", "till-2"]
        == [m["messageId"] for m in found["c.jsonl"]]
        == [m["messageId"] for m in found["d.parquet"]]
    )
    bodies = [[{**m, "messageId": ""} for m in messages] for messages in found.values()]
    assert [bodies[0]] * 4 == bodies


def test_skipping_items_gives_exactly_the_rest(tmp_path: Path) -> None:
    """What a resumed import relies on: from any item on, the same items as in one go."""
    sales = (
        SALES + "9;A;x;05.07.2025 09:00;1,00;7\n9;A;1;05.07.2025 09:00;1,00;7\n" + "10;A;1;06.07.2025 09:00;1,00;7\n"
    )
    plan = shop(tmp_path, sales)
    whole = items(plan, plan.files[0])

    for skip in range(len(whole) + 1):
        assert whole[skip:] == items(plan, plan.files[0], skip)


def test_every_mistake_of_a_mapping_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    """Unknown entries, events, zones and columns: all in one error, each with file, line and column, most with a hint."""
    file = tmp_path / "map.yaml"
    file.write_text(
        "sorce: x\nevent: Order Complete\ncustomer: Custmer\n"
        'timestamp: {column: Date, format: "%d.%m.%Y", zone: Europe/Lond}\nfields:\n  revenue: {value: 1, column: x}\n'
        "lines: {window_rows: many}\n",
        encoding="utf-8",
    )
    with pytest.raises(MappingError) as caught:
        load(file)

    assert [
        f"{file}:1:8: a mapping has no entry 'sorce'; did you mean 'source'?",
        f"{file}:2:8: event 'Order Complete' is not one that Winback knows; did you mean 'Order Completed'?",
        f"{file}:4:53: zone 'Europe/Lond' is not an IANA time zone such as Europe/Berlin or UTC",
        f"{file}:7:8: lines needs `order: COLUMN`, the column that says which order a row belongs to",
        f"{file}:6:12: field revenue needs either a column or a value",
        f"{file}:7:22: window_rows 'many' is not a number of rows above 0",
    ] == list(caught.value.problems)


def test_columns_that_the_file_lacks_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    """The mapping is right in itself, the file has other columns: place, file and the closest name."""
    with pytest.raises(
        MappingError, match=r"map.yaml:3:11: sales.csv has no column 'Custmer'; did you mean 'Customer'"
    ):
        shop(tmp_path, mapping=RETAIL.replace("customer: Customer", "customer: Custmer"))


def test_two_files_that_would_share_ids_are_refused(tmp_path: Path) -> None:
    """The same name in two folders makes the same row ids: the second file's rows would vanish as duplicates."""
    for year in ("2024", "2025"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "views.csv").write_text("who,at\n", encoding="utf-8")
    (tmp_path / "map.yaml").write_text("event: Session Started\ncustomer: who\ntimestamp: at\n", encoding="utf-8")
    plan = Plan((tmp_path / "2024/views.csv", tmp_path / "2025/views.csv"), load(tmp_path / "map.yaml"))

    with pytest.raises(MappingError, match="would give their rows the same ids"):
        plan.check()


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("1,5", "."), ("1.5", ","), ("1,00,0", "."), ("", "."), ("+", "."), ("1e9", "."), ("nan", ".")],
)
def test_numbers_that_could_mean_something_else_are_refused(text: str, decimal: str) -> None:
    """1,5 under a decimal point is one and a half to its author and fifteen to a careless parser."""
    with pytest.raises(RowError):
        number(text, decimal)


def test_a_killed_run_leaves_no_stray_rejects(tmp_path: Path) -> None:
    """Rejected rows written after the last progress note come again, so they are cut off first."""
    file = tmp_path / "x.rejected.jsonl"
    first = Rejects(file, 0)
    first.write(Bad(1, "noted", {}))
    noted = first.flush()
    first.write(Bad(2, "not noted", {}))
    first.close()
    second = Rejects(file, noted)
    second.write(Bad(2, "again", {}))
    second.close()

    assert ["noted", "again"] == [json.loads(line)["reason"] for line in file.read_text().splitlines()]


def test_progress_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A half-written note beside the real one is never read."""
    Progress("f", items=3).save(tmp_path, "k")
    (tmp_path / "k.json.new").write_text("{", encoding="utf-8")

    assert 3 == Progress.load(tmp_path, "k", Path("f")).items
    assert 0 == Progress.load(tmp_path, "other", Path("f")).items


def test_dry_run_with_flags_alone_prints_messages(tmp_path: Path) -> None:
    """Flags make the same mapping as a file; --dry-run needs no broker."""
    (tmp_path / "o.csv").write_text('No,Who,Date,Total\n5,ann,31.01.2025,"1.234,50"\n', encoding="utf-8")
    result = CliRunner().invoke(import_, [
        str(tmp_path / "o.csv"), "--event", "Order Completed", "--column", "customer=Who", "--column", "order_id=No",
        "--column", "revenue=Total", "--column", "timestamp=Date", "--time-format", "%d.%m.%Y", "--zone", "Europe/Berlin",
        "--decimal", ",", "--constant", "currency=EUR", "--dry-run", "1",
    ])  # fmt: skip

    assert (0, "") == (result.exit_code, result.stderr)
    message = json.loads(result.stdout)
    assert ("o-2", "ann", "2025-01-30T23:00:00Z") == (message["messageId"], message["userId"], message["timestamp"])
    assert {"order_id": "5", "revenue": 1234.5, "currency": "EUR"} == message["properties"]


def test_wrong_flags_end_with_code_2_and_say_what_to_write(tmp_path: Path) -> None:
    """A wrong call is told from rejected rows and from failures by its exit code."""
    (tmp_path / "o.csv").write_text("a,b\n", encoding="utf-8")
    result = CliRunner().invoke(import_, [str(tmp_path / "o.csv"), "--column", "customer"])

    assert 2 == result.exit_code
    assert "--column customer: write it as --column field=name" in result.stderr


def test_the_mapping_in_the_docs_is_the_shipped_example_and_right() -> None:
    """Who copies it gets what the page shows."""
    docs = Path(__file__).parents[2] / "docs"
    example = docs / "examples" / "online_retail.yaml"
    body = "".join(line for line in example.read_text(encoding="utf-8").splitlines(True) if not line.startswith("#"))

    assert body in (docs / "import.md").read_text(encoding="utf-8")
    assert "Invoice" == load(example).order_column


def test_flags_can_gather_orders_from_lines(tmp_path: Path) -> None:
    """With --order, product columns describe the lines; an order that would be worth nothing is a mistake."""
    (tmp_path / "o.csv").write_text(
        "No,Who,At,P,N\n5,ann,2025-01-31T10:00:00Z,2.55,32\n5,ann,,0.45,1\n", encoding="utf-8"
    )
    flags = [str(tmp_path / "o.csv"), "--dry-run", "9", "--event", "Order Completed", "--order", "No",
             "--column", "customer=Who", "--column", "timestamp=At", "--column", "quantity=N"]  # fmt: skip
    worthless = CliRunner().invoke(import_, flags)
    good = CliRunner().invoke(import_, [*flags, "--column", "price=P"])

    assert 2 == worthless.exit_code
    assert "--order No: orders would be worth nothing" in worthless.stderr
    assert "82.05" == json.loads(good.stdout, parse_float=str)["properties"]["revenue"]
