"""Records that an earlier version stored, and the look at a record's head."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.config import make_settings
from stream.errors import NewerVersionError, StateError
from stream.events import kinds
from stream.events.kinds import Event, Line
from stream.state.customer import VERSION, Customer, decode, encode, head
from stream.state.memory import Population
from stream.state.messages import ROW, Seen
from stream.state.orders import Applied
from tests.state.parts import opened

START = 1_767_225_600_000
DAY = 86_400_000
SETTINGS = make_settings(memory_orders=16, memory_messages=16)

VERSION_1 = bytes.fromhex(
    """
    9701cf0000019c44d9080082007b02cd11d79bdc0010cf0000019b864dbc00cf0000019b8b741800cf0000019b909a7400cf0000019b95c0
    d000cf0000019b9ae72c00cf0000019ba00d8800cf0000019ba533e400cf0000019baa5a4000cf0000019baf809c00cf0000019bb4a6f800
    cf0000019bb9cd5400cf0000019bbef3b000cf0000019bc41a0c00cf0000019bc9406800cf0000019bce66c400cf0000019bd38d2003dc00
    10cf5b1c50c3eed81f43cfb1c175be0392eefacf1bf6d76a4ed831a9cf5016833caf1a1d80cf75c1d2e9298b1c3fcf8202d0df9a8f171ccf
    ae9ffd3aed8d6631cf56f7023089789ffccf7cba572ab4d4f6b1cfe19a59f432e98d0fcf7f97ea928580ac27cf5c3b09f14efc3848cf32b7
    1d2992a41bfacfa55e6aa4fc8e04a2cfe13c5aeed3bc59f0cf58acddb0b4afd2f1dc0010cd03ebcd03eccd03edcd03eecd03efcd03f0cd03
    f1cd02620000cd03f5cd03f6cd03f7cd03f8cd03f900dc0010cf4d76c0b67709ae4ecf6aad95b4356a6bd2cfbbdcbbad0dbd5298cfc96fe6
    96000bade9cf53660c711e475831cf791a7d86744b2a2ecf95cd5a865b9a685ecf30b8c0359d606ffdcf7ea8533c3d569b07cf3e18c9f90e
    c96428cfb665d3d43dbace90cfaf1fc09e1c256e12cffbd43aa1a8c76dfecf70808a97295fa441cfd53107ac4fb7edcf0084cf56f7023089
    789ffc93cd03f2c29192cfb87abaf51bf70d7ccd0190cf58acddb0b4afd2f193ffc29192cf4c003c9ae4cb524132cf7cba572ab4d4f6b193
    cd03f3c29192cf3ec557b62e51b5c9ffcfe19a59f432e98d0f93cd03f4c39083cd4fe69201cd03e8cd4fe79201cd03e9cd4fe89201cd03ea
    03cd0bbbcf0000019b76daa800cf0000019b8127600092cf0000019b81276000cfb3f1a046163df43f98dc0010cf0000019bc41a0c00cf00
    00019bc9406800cf0000019bce66c400cf0000019bd38d2000cf0000019bd38d2001cf0000019bd38d2002cf0000019bd38d2003cf000001
    9bd38d2004cf0000019bd38d2005cf0000019bd38d2006cf0000019bd38d2007cf0000019bd38d2008cf0000019bd38d2009cf0000019bd3
    8d200acf0000019bd38d200bcf0000019bd38d200cdc0010cffbd43aa1a8c76dfecf70808a97295fa441cfd53107ac4fb7edcfcfb87abaf5
    1bf70d7ccf3ec557b62e51b5c9cf502bed5c73cd0c62cf4c003c9ae4cb5241cfe86c938f14080e7bcf058262a36a45de49cf4161671851db
    8ecccf6dcf4b32b19c7832cfcd09475f6fae5425cf08b290d57d277cedcfee773f4bc1855780cf6a003b0bfe24a1f0cf6307500023026068
    dc0010ce6ea8d0dece0624c53bce7934523bce2dc1beb5ceb3ac216fce8a9dca62ceb970e2fdce96ecdcb9ce4ac947e6ce18aa1fd1ce7236
    205cce71e82520ce01af440fce5203e886ce273874eccead68815adc001005050500000000010102030000000000dc001000000000000000
    ce8e86d7b2ce1ebd730f0000000000000082cf4161671851db8ecc9193ce1ebd730f02cd05dccf6dcf4b32b19c78329193ce1ebd730f0100
    9393cf0000019bc41a0c00cffbd43aa1a8c76dfe92ce8e86d7b2ceb79d50e493cf0000019bc9406800cf70808a97295fa44192ce8e86d7b2
    ceb79d50e493cf0000019bce66c400cfd53107ac4fb7edcf92ce8e86d7b2ceb79d50e492cf0000019bbef3b000cfaf1fc09e1c256e129a82
    a86c616e677561676592cf0000019bd38d200ca26465a6726567696f6e92cf0000019bd38d200ca2444581a5656d61696c92cf0000019bd3
    8d200cc39193cf0000019bd38d2008cfcd09475f6fae5425cb40220000000000009193cf0000019bd38d2009cf08b290d57d277cedcb4010
    0000000000009193cf0000019bd38d200acfee773f4bc1855780cb400c00000000000081cf99dfa4b79d81412092cf0000019bd38d200b00
    cf0000019b76daa800cf0000019bd38d200bcd4ff8ce0007ffff9a81a877696e2d6261636b92a86f726465722d3030cf0000019b76daa800
    81a877696e2d6261636bcf0000019b76daa80091cf0000019b76daa80096cd4ff60ecd3719cb3ff0000000000000a66d656469756da96368
    616d70696f6e73cb3fd0000000000000c3cf0000019bd38d2000cf0000019baa5a400091c4020102cf0000019b71b44c00
    """
)
"""`_stored` as version 1 encoded it: every field of the layout in use, memory full, refunds, a pending one, an open cart."""

VERSION_2 = bytes.fromhex(
    """
    9702cf0000019c44d9080082007b02cd11d79b96cd4ff60ecd3719cb3ff0000000000000a66d656469756da96368616d70696f6e7381a877
    696e2d6261636b92a86f726465722d3030cf0000019b76daa80081a877696e2d6261636bcf0000019b76daa80091cf0000019b76daa800cb
    3fd0000000000000c3cf0000019bd38d2000cf0000019baa5a400091c4020102cf0000019b71b44c000096c480fbd43aa1a8c76dfe70808a
    97295fa441d53107ac4fb7edcfb87abaf51bf70d7c3ec557b62e51b5c9502bed5c73cd0c624c003c9ae4cb5241e86c938f14080e7b058262
    a36a45de494161671851db8ecc6dcf4b32b19c7832cd09475f6fae542508b290d57d277cedee773f4bc18557806a003b0bfe24a1f0630750
    0023026068c5010005000c1ac49b0100775816350000000005006840c99b01007d7e9765000000000500c466ce9b01001b003e8a00000000
    0000208dd39b010047409b73000000000001208dd39b01007c4742e6000000000002208dd39b0100bc2bd61b000000000003208dd39b0100
    33d925ff000000000104208dd39b0100bf3ae1dcb2d7868e0105208dd39b0100801d315c0f73bd1e0206208dd39b0100a5682e9100000000
    0307208dd39b0100229cae87000000000008208dd39b0100e748282a000000000009208dd39b0100318b76bd00000000000a208dd39b0100
    e048aeb000000000000b208dd39b010012a086ee00000000000c208dd39b0100c8d421f200000000c4324161671851db8ecc010f73bd1e02
    000000dc050000000000006dcf4b32b19c7832810f73bd1e010000000000000000000000c433fbd43aa1a8c76dfe02b2d7868ee4509db770
    808a97295fa44102b2d7868ee4509db7d53107ac4fb7edcf02b2d7868ee4509db7cf0000019bbef3b000c408af1fc09e1c256e1295c4805b
    1c50c3eed81f43b1c175be0392eefa1bf6d76a4ed831a95016833caf1a1d8075c1d2e9298b1c3f8202d0df9a8f171cae9ffd3aed8d663156
    f7023089789ffc7cba572ab4d4f6b1e19a59f432e98d0f7f97ea928580ac275c3b09f14efc384832b71d2992a41bfaa55e6aa4fc8e04a2e1
    3c5aeed3bc59f058acddb0b4afd2f1c4804d76c0b67709ae4e6aad95b4356a6bd2bbdcbbad0dbd5298c96fe696000bade953660c711e4758
    31791a7d86744b2a2e95cd5a865b9a685e30b8c0359d606ffd7ea8533c3d569b073e18c9f90ec96428b665d3d43dbace90af1fc09e1c256e
    12fbd43aa1a8c76dfe70808a97295fa441d53107ac4fb7edcf0000000000000000c5010000bc4d869b010000eb030000000000000018748b
    9b010000ec0300000000000000749a909b010000ed0300000000000000d0c0959b010000ee03000000000000002ce79a9b010000ef030000
    0000000000880da09b010000f00300000000000000e433a59b010000f10300000000000000405aaa9b0100006202000000000000009c80af
    9b010000000000000000000000f8a6b49b01000000000000000000000054cdb99b010000f50300000000000000b0f3be9b010000f6030000
    00000000000c1ac49b010000f703000000000000006840c99b010000f80300000000000000c466ce9b010000f90300000000000003208dd3
    9b010000000000000000000084c40856f7023089789ffc93cd03f2c29192c408b87abaf51bf70d7ccd0190c40858acddb0b4afd2f193ffc2
    9192c4084c003c9ae4cb524132c4087cba572ab4d4f6b193cd03f3c29192c4083ec557b62e51b5c9ffc408e19a59f432e98d0f93cd03f4c3
    9097cf0000019b81276000c408b3f1a046163df43f03cd0bbbcf0000019b76daa800cf0000019b8127600083cd4fe69201cd03e8cd4fe792
    01cd03e9cd4fe89201cd03ea97cf0000019b76daa800cf0000019bd38d200bcd4ff8ce0007ffff82a86c616e677561676592cf0000019bd3
    8d200ca26465a6726567696f6e92cf0000019bd38d200ca2444581a5656d61696c92cf0000019bd38d200cc3949193cf0000019bd38d2008
    c408cd09475f6fae5425cb40220000000000009193cf0000019bd38d2009c40808b290d57d277cedcb40100000000000009193cf0000019b
    d38d200ac408ee773f4bc1855780cb400c00000000000081cf99dfa4b79d81412092cf0000019bd38d200b00
    """
)
"""The same as version 2 encoded it."""


def _event(kind: Any, number: str, at: int, **fields: Any) -> Event:
    event: Event = kind(message_id=f"m{number}", customer="c", time_ms=START + at, **fields)
    return event


def _stored() -> Customer:
    """The customer of the stored record, as today's code builds them."""
    customer = Customer()
    lines = (Line("tea", 1, 300), Line("cup", 2, 900))
    now = 18 * DAY
    for number in range(18):
        buy = _event(
            kinds.Purchase, f"p{number}", number * DAY, order_id=f"o{number}", amount_minor=1000 + number, lines=lines
        )
        customer.apply(buy, SETTINGS)
    for event in (
        _event(kinds.Refund, "r1", now, order_id="o10", amount_minor=400),
        _event(kinds.Refund, "r2", now + 1, order_id="o11"),
        _event(kinds.Cancellation, "x1", now + 2, order_id="o12"),
        _event(kinds.Refund, "r3", now + 3, order_id="ghost", amount_minor=50),
        _event(kinds.ProductViewed, "v1", now + 4, product_id="tea"),
        _event(kinds.ProductViewed, "v2", now + 5, product_id="pot"),
        _event(kinds.CartAdded, "a1", now + 6, line=Line("pot", 2, 1500)),
        _event(kinds.CartRemoved, "a2", now + 7, line=Line("pot", 1, 0)),
        _event(kinds.NpsGiven, "n1", now + 8, score=9),
        _event(kinds.CsatGiven, "n2", now + 9, score=4),
        _event(kinds.Reviewed, "n3", now + 10, rating=3.5),
        _event(kinds.ComplaintOpened, "n4", now + 11, complaint_id="k1"),
        _event(kinds.Identified, "n5", now + 12, region="DE", language="de", consent=(("email", True),)),
    ):
        assert customer.apply(event, SETTINGS) is Applied.CHANGED
    customer.next_due_ms = START + 40 * DAY
    customer.stamps = [123, -1, 4567, -1, -1, -1]
    memory = customer.memory
    memory.fired = {"win-back": ("order-00", START)}
    memory.decided_ms = {"win-back": START}
    memory.sent_ms = [START]
    memory.population = Population(20470, 14, 14105, 1.0, "medium", "champions")
    memory.score = 0.25
    memory.alert_armed = True
    memory.reviewed_ms = START + now
    memory.grid_ms = START + 10 * DAY
    memory.snapshots = [b"\x01\x02"]
    memory.history_until_ms = START - DAY
    # Baskets of messages that have left the log were not kept then.
    group, ids = 9 + 2 * 4, customer.messages.ids
    baskets = customer.messages.baskets
    kept = (baskets[at : at + group] for at in range(0, len(baskets), group))
    customer.messages.baskets = b"".join(each for each in kept if each[:8] in ids)
    return customer


def test_a_record_of_version_1_is_what_todays_code_would_have_built() -> None:
    """Every field of the upgraded record is that of the same events folded in today, but for the checksums of bodies."""
    expected = _stored()
    rows = expected.messages.rows
    expected.messages.rows = b"".join(
        rows[at : at + 8] + bytes(4) + rows[at + 12 : at + ROW] for at in range(0, len(rows), ROW)
    )

    assert expected == opened(decode(VERSION_1))
    assert encode(expected) == encode(decode(VERSION_1))


def test_a_record_of_version_2_is_what_todays_code_would_have_built() -> None:
    """The figures that it lacks are those that today's code has carried on from order to order."""
    assert opened(_stored()) == opened(decode(VERSION_2))
    assert encode(_stored()) == encode(decode(VERSION_2))


def test_a_young_record_of_version_1_stays_young() -> None:
    """What version 1 kept empty is left out, not kept as something that has happened."""
    young = bytes.fromhex(
        "970100809b909090908080000000009200009891cf0000019b76daa80091cfb3030da20464028c91ce28cc1be8910191ce8e86d7b2809092"
        "00009a808090909080cf0000019b76daa800cf0000019b76daa800cd4fe6019a808090c0cbbff0000000000000c200009000"
    )
    customer = decode(young)

    assert (None, None, None) == (customer.orders.marks, customer.orders.gone, customer.person.voice)
    assert (START, 1) == (customer.person.created_ms, customer.messages.views_of("tea", START))
    assert (b"", b"", 0, bytes(8)) == msgspec.structs.astuple(customer.messages)[2:]


def test_a_message_sent_again_across_the_upgrade_is_a_repeat() -> None:
    """Version 1 knew bodies by another checksum: none of its messages may look like another content under one id."""
    customer = decode(VERSION_1)
    again = _event(kinds.ProductViewed, "v2", 18 * DAY + 5, product_id="pot")

    assert customer.apply(again, SETTINGS) is Seen.DUPLICATE
    assert customer.apply(_event(kinds.NpsGiven, "n1", 18 * DAY + 8, score=9), SETTINGS) is Seen.DUPLICATE


@pytest.mark.parametrize("value", [VERSION_1, VERSION_2, encode(_stored())])
def test_the_head_of_a_record_says_what_the_record_says(value: bytes) -> None:
    """All that an index and a population are rebuilt from, of a record of any version."""
    found, whole = head(value), decode(value)

    assert (whole.next_due_ms, whole.stamps) == (found.next_due_ms, found.stamps)
    assert Population(20470, 14, 14105, 1.0, "medium", "champions") == found.population
    assert head(encode(Customer())).population is None


@pytest.mark.parametrize("read", [head, decode])
def test_what_is_no_record_of_ours_is_told(read: Any) -> None:
    """A record from a newer Winback, one cut off, and junk each raise an error that an operator is told about."""
    with pytest.raises(NewerVersionError, match="knows up to"):
        read(encode(Customer(version=VERSION + 1)))
    for damaged in (b"", b"\xc1junk", VERSION_1[:40], b"\x97\x01" + b"\x00" * 6, encode(_stored())[:9]):
        with pytest.raises(StateError, match="can't be read"):
            read(damaged)
