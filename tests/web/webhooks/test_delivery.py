"""Deliveries: signed, tried again for about a day, once for each event, and never lost."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orchestrator import Encryption
from orchestrator.core.errors import ConflictError, UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.durable.codec import AesGcm
from orchestrator.durable.errors import RunCancelledError, RunTerminatedError
from orchestrator.web import outbound
from orchestrator.web.events import NewEvent
from orchestrator.web.webhooks import signing, steps, workflow
from orchestrator.web.webhooks.repository import WebhookRepository
from orchestrator.web.webhooks.steps import MOST_AT_ONCE
from orchestrator.web.webhooks.tables import WebhookRow
from support.receiver import Receiver
from support.tables import Tables
from support.webhooks_lab import WebhooksLab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.receiver import Received


@pytest.fixture
async def lab(tables: Tables) -> AsyncIterator[WebhooksLab]:
    """A service that sends webhooks."""
    async with WebhooksLab(tables) as lab:
        yield lab


@pytest.fixture
async def sqlite_lab(tmp_path: Path) -> AsyncIterator[WebhooksLab]:
    """The same on a file, where the tables make no difference."""
    async with WebhooksLab(Tables(tmp_path / "tables.db")) as lab:
        yield lab


def made(owner: str = "ann", type: str = "thing_made", number: int = 1) -> NewEvent:  # noqa: A002
    """An event of theirs."""
    return NewEvent(type, owner, {"number": number})


def is_signed(received: Received, secret: str) -> bool:
    """Whether a receiver that has this secret takes the message for ours; its clock is the message's."""
    verifier = Webhook(secret)
    sent_at = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
    verifier._Webhook__verify_timestamp = lambda _header: sent_at  # type: ignore[attr-defined]
    try:
        verifier.verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


def test_a_signature_is_that_of_the_specification() -> None:
    """Verified by the library of Standard Webhooks, its check of the time included."""
    secret, body = signing.new_secret(), b'{"type":"thing_made"}'
    now = int(datetime.now(UTC).timestamp())
    headers = signing.signed(body, "msg_1", now, [secret])
    assert Webhook(secret).verify(body, headers) == {"type": "thing_made"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, signing.signed(body, "msg_1", now - 600, [secret]))


def test_the_program_of_the_guide_knows_our_messages() -> None:
    """The one that verifies without a library."""
    guide = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    shown: dict[str, Any] = {}
    exec(program, shown)  # noqa: S102 - our own
    secret, body, now = signing.new_secret(), b"{}", int(datetime.now(UTC).timestamp())
    headers = signing.signed(body, "msg_1", now, [signing.new_secret(), secret])
    assert shown["is_ours"](secret, headers, body)
    assert not shown["is_ours"](secret, headers, b"[]")
    assert not shown["is_ours"](secret, signing.signed(body, "msg_1", now - 600, [secret]), body)


async def test_an_event_is_delivered_to_the_webhooks_that_want_it(lab: WebhooksLab) -> None:
    """Of its owner, of its type, signed with the webhook's own secret; the log says so."""
    async with (
        Receiver().listening() as every,
        Receiver().listening() as some,
        Receiver().listening() as bobs,
    ):
        all_types = await lab.create(every.url)
        other_type = await lab.create(some.url, "other_thing")
        await lab.create(bobs.url, owner="bob")
        event = made()
        await lab.tell(event)
        (received,) = await every.until(1)
        (shown,) = await lab.settled(all_types.id)

        assert received.json == {
            "type": "thing_made",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"number": 1},
        }
        assert received.headers["webhook-id"] == event.id == shown.event_id
        assert received.headers["content-type"] == "application/json"
        assert is_signed(received, all_types.secret)
        assert not is_signed(received, other_type.secret)
        assert (shown.state, [each.status for each in shown.attempts]) == ("delivered", [204])
        assert some.received == bobs.received == []
        assert await lab.deliveries(other_type.id) == []


async def test_what_is_not_taken_is_tried_again_for_about_a_day(sqlite_lab: WebhooksLab) -> None:
    """After growing pauses, with the same id and body and a new time, until somebody takes it."""
    lab = sqlite_lab
    statuses = [500, 503, 404, 302, 400, 500, 500, 200]
    async with Receiver(*statuses).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        await lab.settled(webhook.id)
        for seen in range(1, len(statuses)):
            while len(receiver.received) == seen:
                await lab.clock.advance_to_next()
        (shown,) = await lab.deliveries(webhook.id)
        await lab.clock.advance(days=3)

    assert [each.status for each in shown.attempts] == statuses
    assert shown.state == "delivered"
    assert len(receiver.received) == len(statuses)
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
    assert len({received.body for received in receiver.received}) == 1
    assert len({received.headers["webhook-timestamp"] for received in receiver.received}) == len(statuses)
    assert all(is_signed(received, webhook.secret) for received in receiver.received)
    sent_at = [int(received.headers["webhook-timestamp"]) for received in receiver.received]
    for pause_s, before, after in zip(workflow.PAUSES_S, sent_at, sent_at[1:], strict=False):
        assert pause_s <= after - before <= 1.1 * pause_s + 1
    assert 20 * 3_600 < sum(workflow.PAUSES_S) < 30 * 3_600


async def test_a_webhook_that_takes_nothing_for_a_day_is_disabled(sqlite_lab: WebhooksLab) -> None:
    """With the reason; nothing is sent any more, until its owner enables it."""
    lab = sqlite_lab
    async with Receiver(500).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made(number=1))
        await receiver.until(1)
        await lab.settled(webhook.id)
        await lab.clock.advance(days=2)
        (shown,) = await lab.deliveries(webhook.id)
        assert (shown.state, len(shown.attempts)) == ("failed", len(workflow.PAUSES_S) + 1)
        disabled = await lab.service.show("ann", webhook.id)
        assert (disabled.enabled, disabled.disabled_because) == (
            False,
            "nothing has come through for more than a day",
        )

        sent = len(receiver.received)
        await lab.tell(made(number=2))
        receiver.statuses = [204]
        assert (await lab.service.enable("ann", webhook.id)).disabled_because is None
        await lab.tell(made(number=3))
        assert (await receiver.until(sent + 1))[-1].json["data"]["number"] in (2, 3)


async def test_one_failure_disables_nothing_where_others_came_through(sqlite_lab: WebhooksLab) -> None:
    """As where a receiver cannot take one kind of event."""
    lab = sqlite_lab
    async with Receiver(500, 204).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made(number=1))
        await receiver.until(1)
        await lab.settled(webhook.id)
        receiver.statuses = [204]
        await lab.tell(made(number=2))
        await receiver.until(2)
        await lab.settled(webhook.id, 2)
        receiver.statuses = [500]
        await lab.clock.advance(days=2)
        assert sorted(shown.state for shown in await lab.deliveries(webhook.id)) == ["delivered", "failed"]
        assert (await lab.service.show("ann", webhook.id)).enabled


async def test_who_answers_gone_gets_nothing_more(lab: WebhooksLab) -> None:
    """410 says that nobody wants it: no further attempt, no further event."""
    async with Receiver(410).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        (shown,) = await lab.settled(webhook.id)
        assert shown.state == "failed"
        assert (
            await lab.service.show("ann", webhook.id)
        ).disabled_because == "its receiver answered 410 Gone"
        await lab.tell(made(number=2))
        await lab.clock.advance(days=2)
        assert len(receiver.received) == 1


async def test_a_receiver_that_asks_for_time_gets_it(sqlite_lab: WebhooksLab) -> None:
    """Retry-After is honoured where it is longer than the next pause."""
    lab = sqlite_lab
    async with Receiver(429, 204).listening() as receiver:
        receiver.more_headers = "Retry-After: 100\r\n"
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        await lab.settled(webhook.id)
        await lab.clock.advance(seconds=99)
        assert len(receiver.received) == 1
        await lab.clock.advance(seconds=2)
        assert len(receiver.received) == 2


async def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    """A new life goes on with what waits, and with events that came while nobody distributed."""
    tables = Tables(tmp_path / "tables.db")
    async with Receiver(500, 204).listening() as receiver:
        async with WebhooksLab(tables) as lab:
            webhook = await lab.create(receiver.url)
            await lab.tell(made(number=1))
            await receiver.until(1)
            await lab.settled(webhook.id)
        async with WebhooksLab(tables, clock=lab.clock) as next_life:
            await next_life.clock.advance(seconds=6)
            await receiver.until(2)
            (shown,) = await next_life.settled(webhook.id)
    assert [each.status for each in shown.attempts] == [500, 204]


async def test_an_event_that_is_handed_out_twice_is_delivered_once(
    sqlite_lab: WebhooksLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the runs were started, and before the event was acknowledged, starts no other run."""
    lab = sqlite_lab
    async with Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        event = made()
        await lab.tell(event)
        await receiver.until(1)
        await lab.settled(webhook.id)
        group = await lab.engine.streams.group("other", "again")
        (entry,) = await lab.engine.streams.read("wisely.events")
        await lab.engine.streams.append("other", entry.type, entry.data, key=entry.key)
        await lab.distribution._distribute(group, await group.read("one"))
        await lab.settled(webhook.id)
        await asyncio.sleep(0.05)
        assert len(receiver.received) == 1


async def test_a_delivery_is_sent_again_when_its_owner_asks(lab: WebhooksLab) -> None:
    """Under the same id; not while it is under way."""
    async with Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        (shown,) = await lab.settled(webhook.id)
        await lab.service.deliver_again("ann", webhook.id, shown.id)
        first, second = await receiver.until(2)
        (after,) = await lab.settled(webhook.id)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert [each.status for each in after.attempts] == [204, 204]


async def test_a_promise_that_a_crash_interrupted_is_kept_when_it_is_asked_for(lab: WebhooksLab) -> None:
    """Between the row that promises one more run and the run: the delivery is not under way for ever."""
    async with Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        (shown,) = await lab.settled(webhook.id)
        row = await lab.webhooks.delivery("ann", shown.id)
        assert row is not None
        assert await lab.webhooks.deliver_again(row)
        with pytest.raises(ConflictError):
            await lab.service.deliver_again("ann", webhook.id, shown.id)
        await receiver.until(2)
        (after,) = await lab.settled(webhook.id)
        assert (after.state, len(after.attempts)) == ("delivered", 2)


async def test_tables_that_are_away_for_an_hour_cost_no_delivery(
    sqlite_lab: WebhooksLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due meanwhile waits, and goes out when they are back."""
    lab, to_deliver = sqlite_lab, WebhookRepository.to_deliver

    async def away(*_: object) -> None:
        raise UnavailableError("The tables are away.")

    async with Receiver(500, 204).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        await lab.settled(webhook.id)
        monkeypatch.setattr(WebhookRepository, "to_deliver", away)
        await lab.clock.advance(hours=1)
        monkeypatch.setattr(WebhookRepository, "to_deliver", to_deliver)
        await lab.clock.advance(minutes=5)
        await receiver.until(2)
        (shown,) = await lab.settled(webhook.id)
    assert shown.state == "delivered"


async def test_receivers_that_hang_hold_up_nobody_elses(
    sqlite_lab: WebhooksLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of one owner's there are: the others' deliveries go past them."""
    monkeypatch.setattr(outbound, "WHOLE_TIME_S", 120)
    lab = sqlite_lab
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with Receiver().listening() as receiver:
        for number in range(10):
            await lab.create(f"http://127.0.0.1:{port}/{number}")
        await lab.create(receiver.url, owner="bob")
        await lab.tell(*[made(number=number) for number in range(MOST_AT_ONCE // 10 + 1)])
        await lab.tell(made("bob"))
        (received,) = await receiver.until(1)
        assert b'"number":1' in received.body
    silent.close()
    for writer in held:
        writer.close()
        await writer.wait_closed()


async def test_after_a_rotation_both_secrets_sign_for_a_day(sqlite_lab: WebhooksLab) -> None:
    """So receivers change theirs without losing a message."""
    lab = sqlite_lab
    async with Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        new_secret = await lab.service.rotate_secret("ann", webhook.id)
        await lab.tell(made(number=1))
        (during,) = await receiver.until(1)
        assert is_signed(during, webhook.secret)
        assert is_signed(during, new_secret)
        await lab.settled(webhook.id)
        await lab.clock.advance(hours=25)
        await lab.tell(made(number=2))
        _, after = await receiver.until(2)
        assert not is_signed(after, webhook.secret)
        assert is_signed(after, new_secret)


async def test_a_deleted_webhook_gets_nothing_more(sqlite_lab: WebhooksLab) -> None:
    """What waits for its next attempt ends there."""
    lab = sqlite_lab
    async with Receiver(500).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        await lab.settled(webhook.id)
        await lab.service.delete("ann", webhook.id)
        await lab.clock.advance(days=2)
        assert len(receiver.received) == 1


async def test_secrets_are_sealed_where_there_are_keys(tables: Tables) -> None:
    """Whoever reads the tables cannot sign; what is sent is signed all the same."""
    codec = AesGcm(Encryption({"one": bytes(range(32))}))
    async with WebhooksLab(tables, codec) as lab, Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        async with lab.database.session(SYSTEM) as session:
            (row,) = await session.all(select(WebhookRow))
        assert webhook.secret.encode() not in row.secret
        await lab.tell(made())
        (received,) = await receiver.until(1)
        assert is_signed(received, webhook.secret)
        await lab.settled(webhook.id)


async def test_old_deliveries_are_forgotten(sqlite_lab: WebhooksLab) -> None:
    """After 30 days."""
    lab = sqlite_lab
    async with Receiver().listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        await lab.settled(webhook.id)
        lab.clock.jump(31 * 86_400)
        assert len(await lab.deliveries(webhook.id)) == 1
        forgetting = asyncio.create_task(lab.upkeep.keep_up_always())
        async with asyncio.timeout(20):
            for pause_s in repeat(0.005):
                if not await lab.deliveries(webhook.id):
                    break
                await asyncio.sleep(pause_s)
        assert not forgetting.done()  # it goes on hour after hour
        forgetting.cancel()


async def test_a_delivery_whose_run_is_cancelled_has_failed(lab: WebhooksLab) -> None:
    """It says why, and can be sent again."""
    async with Receiver(500, 200).listening() as receiver:
        webhook = await lab.create(receiver.url)
        await lab.tell(made())
        await receiver.until(1)
        (shown,) = await lab.settled(webhook.id)
        (info,) = await lab.engine.list()
        run = await lab.engine.get(info.id)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()

        (cut_off,) = await lab.deliveries(webhook.id)
        assert (shown.state, cut_off.state) == ("pending", "failed")
        assert [(each.status, each.reason) for each in cut_off.attempts] == [
            (500, None),
            (None, steps.CUT_OFF),
        ]
        await lab.service.deliver_again("ann", webhook.id, shown.id)
        await receiver.until(2)
        assert (await lab.settled(webhook.id))[0].state == "delivered"


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_delivery_whose_run_was_ended_by_force_fails_in_time(
    lab: WebhooksLab, *, is_deleted: bool
) -> None:
    """Nothing of its run is there to say so; whoever looks after deliveries does. Others go on."""
    async with Receiver(*[500] * 3, 200).listening() as receiver:
        webhooks = [await lab.create(receiver.url) for _ in range(2)]
        await lab.tell(made())
        await receiver.until(2)
        for webhook in webhooks:
            await lab.settled(webhook.id)
        (row,) = await lab.deliveries(webhooks[0].id)
        (info,) = await lab.engine.list(tags={"webhook_delivery": row.id})
        run = await lab.engine.get(info.id)
        await run.cancel(force_after=0)
        with pytest.raises(RunTerminatedError):
            await run.result()
        if is_deleted:
            await lab.engine.delete(info.id)
            await lab.upkeep.tell_cut_off()
            assert (await lab.deliveries(webhooks[0].id))[0].state == "pending", "its run may begin yet"
            lab.clock.jump(2 * 3_600)
        await lab.upkeep.tell_cut_off()

        (cut_off,), (other,) = [await lab.deliveries(webhook.id) for webhook in webhooks]
        reason = "its run is gone" if is_deleted else "its run was terminated"
        assert (cut_off.state, cut_off.attempts[-1].reason) == ("failed", reason)
        assert (other.state, {each.status for each in other.attempts}) == ("pending", {500})
