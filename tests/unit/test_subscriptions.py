"""What is shared by both colours of a feed: replies, pulse, outages and the bounded buffer. No server, no waiting."""

from __future__ import annotations

import logging

import pytest

from redisorm.drivers.subscription import IDLE_S, LONGEST_PAUSE_S, Delivery, Mailbox, Outage, Pulse, Subscription


@pytest.mark.parametrize("command", ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"])
def test_subscription_is_confirmed_by_its_own_name(command: str) -> None:
    kind = command.lower().encode()
    subscription = Subscription("pr*", command)
    assert subscription.packet() == [b"*2\r\n$%d\r\n%s\r\n$3\r\npr*\r\n" % (len(kind), kind.upper())]
    assert subscription.confirmed([kind, b"pr*", 1])
    assert not subscription.confirmed([kind, b"other", 1])
    assert not subscription.confirmed(b"PONG")


def test_only_messages_are_delivered() -> None:
    subscription = Subscription("p", "SUBSCRIBE")
    assert subscription.delivery([b"message", b"p", b"x"]) == Delivery(b"p", b"x")
    assert subscription.delivery([b"pmessage", b"p*", b"pq", b"y"]) == Delivery(b"pq", b"y")
    assert subscription.delivery([b"smessage", b"p", b"z"]) == Delivery(b"p", b"z")
    for reply in (b"PONG", [b"pong", b""], [b"subscribe", b"p", 1], [b"invalidate", [b"k"]], None, []):
        assert subscription.delivery(reply) is None


def test_subscription_that_the_server_ends_counts_as_broken() -> None:
    subscription = Subscription("p", "SSUBSCRIBE")
    for reply in ([b"smessage", b"p", b"sunsubscribe"], [b"sunsubscribe", b"other", 1], [b"pong", b""], b"PONG", []):
        subscription.require_kept(reply)
    with pytest.raises(ConnectionResetError, match="the slot of the channel is no longer served there"):
        subscription.require_kept([b"sunsubscribe", b"p", 0])


def test_silent_connection_is_asked_once_and_then_given_up() -> None:
    pulse = Pulse(100.0, 2.0)
    assert pulse.question(100.0 + IDLE_S - 0.1) is None
    assert pulse.question(100.0 + IDLE_S) == [b"*1\r\n$4\r\nPING\r\n"]
    assert pulse.question(101.0 + IDLE_S) is None
    with pytest.raises(TimeoutError, match=r"no answer to PING within 2\.0 s"):
        pulse.question(102.1 + IDLE_S)


def test_answer_begins_a_new_silence() -> None:
    pulse = Pulse(0.0, None)
    assert pulse.question(IDLE_S)
    pulse.heard(IDLE_S + 1)
    assert pulse.question(2 * IDLE_S) is None
    assert pulse.question(2 * IDLE_S + 1)


def test_outage_is_told_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("tick")
    with caplog.at_level(logging.INFO, logger="redisorm"):
        outage.ended(0.0)
        for second in range(3):
            outage.went_on(ConnectionError("gone"), float(second))
        outage.ended(3.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the subscription to 'tick' was lost (gone): subscribing again until it is back",
        "subscribed to 'tick' again after 3.0 s and 3 attempts; what was published meanwhile is lost to it",
    ]


def test_pauses_between_attempts_grow_to_a_limit() -> None:
    outage = Outage("tick")
    pauses = []
    for _ in range(30):
        outage.went_on(ConnectionError("gone"), 0.0)
        pauses.append(outage.pause_s(0.0))
    assert 0.05 <= pauses[0] <= 0.1
    assert all(LONGEST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S for pause in pauses[10:])


def test_full_mailbox_drops_the_oldest_and_tells_once_until_it_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox("tick", 2)
    for n in range(5):
        mailbox.put(Delivery(b"tick", b"%d" % n))
    assert mailbox.dropped == 3
    assert [mailbox.take(), mailbox.take(), mailbox.take()] == [Delivery(b"tick", b"3"), Delivery(b"tick", b"4"), None]
    assert len(caplog.records) == 1
    for n in range(3):
        mailbox.put(Delivery(b"tick", b"%d" % n))
    assert len(caplog.records) == 2


def test_mailbox_is_patient_until_it_drops_one_that_nobody_took() -> None:
    mailbox = Mailbox("tick", 1)
    mailbox.put(Delivery(b"tick", b"1"))
    assert [mailbox.full, mailbox.patient] == [True, True]
    mailbox.put(Delivery(b"tick", b"2"))
    assert [mailbox.patient] == [False]
    assert mailbox.take() == Delivery(b"tick", b"2")
    assert [mailbox.patient] == [True]


def test_mailbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="buffer=0: a listener buffers at least one message"):
        Mailbox("tick", 0)
