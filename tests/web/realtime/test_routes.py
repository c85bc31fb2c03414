"""Supabase Realtime's protocol over a real socket: who hears what, and who is let go."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from orchestrator.web.events import NewEvent
from orchestrator.web.events import feed as feed_module
from orchestrator.web.realtime import routes as routes_module
from orchestrator.web.realtime import socket as socket_module
from support.realtime_client import JOIN, TOPIC, realtime
from support.running_service import RunningService, running_service
from support.tokens import OTHER_SECRET, SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ANON = "the-anon-key-of-this-project"
SERVICE_KEY = "the-service-role-key-that-only-services-know"
OK = {"status": "ok", "response": {"postgres_changes": []}}


SIGN_IN = {
    "auth.jwt_secret": SECRET,
    "auth.supabase_anon_key": ANON,
    "auth.supabase_service_role_key": SERVICE_KEY,
}

# All of these tests talk to one service, on its loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """The service with sign-in."""
    async with running_service(tmp_path_factory.mktemp("service"), SIGN_IN) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """The service in dev mode."""
    async with running_service(tmp_path_factory.mktemp("dev")) as service:
        yield service


def token(user: str, expires_in_s: float = 3_600, secret: str = SECRET) -> str:
    """A user's token, by the machine's own clock."""
    return signed(claims(user, exp=time.time() + expires_in_s), secret)


def as_admin() -> dict[str, str]:
    """What an admin sends."""
    told = claims("root", exp=time.time() + 3_600, app_metadata={"role": "admin"})
    return {"Authorization": f"Bearer {signed(told)}"}


def made(owner: str, number: int = 1) -> NewEvent:
    """An event of theirs."""
    return NewEvent("thing_made", owner, {"number": number, "user_id": owner})


@pytest.mark.parametrize("vsn", ["2.0.0", "1.0.0", None])
async def test_a_client_hears_its_users_events(service: RunningService, vsn: str | None) -> None:
    """Joined with the user's token, in either version; without one it is version 1."""
    async with realtime(service.url, ANON, vsn) as client:
        assert await client.join({"access_token": token("ann")}) == OK
        await service.tell(made("bob", 1), made("ann", 2))
        assert await client.heard() == ("thing_made", {"number": 2, "user_id": "ann"})
        assert await client.is_quiet()


async def test_a_heartbeat_is_answered_also_without_a_reference(service: RunningService) -> None:
    """As old clients send it."""
    async with realtime(service.url, ANON, "1.0.0") as client:
        await client.send(None, None, "phoenix", "heartbeat", {})
        assert await client.next() == [None, None, "phoenix", "phx_reply", {"status": "ok", "response": {}}]


async def test_nobody_hears_others_whatever_it_joins_with(service: RunningService) -> None:
    """Many users at once on the one shared topic: each hears its own, in order."""
    users = [f"user-{number}" for number in range(5)]

    async def hear(user: str) -> list[Any]:
        async with realtime(service.url, ANON) as client:
            await client.join({"access_token": token(user)})
            joined.release()
            heard = [(await client.heard())[1] for _ in range(3)]
            assert await client.is_quiet()
            return heard

    joined = asyncio.Semaphore(0)
    hearing = [asyncio.create_task(hear(user)) for user in users]
    for _ in users:
        await joined.acquire()
    await service.tell(*[made(user, number) for number in range(3) for user in users])
    assert [await each for each in hearing] == [
        [{"number": number, "user_id": user} for number in range(3)] for user in users
    ]


async def test_a_token_may_follow_the_join(service: RunningService) -> None:
    """An anonymous client hears nothing, whatever it sends; then it is ann, and hears all since its join."""
    async with realtime(service.url, ANON) as client:
        assert await client.join() == OK
        await service.tell(made("ann", 1))
        for nothing in (None, "", "sb_publishable_key"):
            await client.send("1", "2", TOPIC, "access_token", {"access_token": nothing})
        assert await client.is_quiet()
        assert (await client.next())[3] == "phx_error"
        await client.send("1", "3", TOPIC, "access_token", {"access_token": token("ann")})
        await service.tell(made("bob", 2), made("ann", 3))
        assert [(await client.heard())[1]["number"] for _ in range(2)] == [1, 3]


async def test_who_is_nobody_at_a_heartbeat_is_asked_to_join_again(service: RunningService) -> None:
    """Newer clients know their token by then, and send it with a join alone; they hear what they missed."""
    async with realtime(service.url, ANON) as client:
        await client.join()
        await service.tell(made("ann", 1))
        assert await client.is_quiet()
        assert await client.next() == ["1", "1", TOPIC, "phx_error", {}]
        await client.send("2", "2", TOPIC, "phx_join", {**JOIN, "access_token": token("ann")})
        assert [(await client.next())[3] for _ in range(2)] == ["phx_close", "phx_reply"]
        assert (await client.heard())[1]["number"] == 1
        assert await client.is_quiet()
        assert await client.is_quiet()


async def test_nobody_is_asked_to_join_again_twice(service: RunningService) -> None:
    """A client without a user goes on as one that hears nothing."""
    async with realtime(service.url, ANON) as client:
        await client.join()
        assert await client.is_quiet()
        assert (await client.next())[3] == "phx_error"
        assert await client.is_quiet()
        assert await client.is_quiet()


async def test_who_becomes_another_user_is_told_nothing_of_before(service: RunningService) -> None:
    """What came while the channel was ann's was not for bob to hear on it."""
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        await service.tell(made("bob", 1), made("ann", 2))
        assert (await client.heard())[1]["number"] == 2
        await client.send("1", "2", TOPIC, "access_token", {"access_token": token("bob")})
        assert await client.is_quiet()
        await service.tell(made("bob", 3))
        assert (await client.heard())[1]["number"] == 3


async def test_a_private_channel_needs_a_user(service: RunningService) -> None:
    """As Supabase refuses it where no policy lets the anonymous read."""
    async with realtime(service.url, ANON) as client:
        refused = await client.join({"config": {"private": True}})
        assert refused["status"] == "error"
        assert refused["response"]["reason"] == (
            "Unauthorized: You do not have permissions to read from this Channel topic: wisely.events"
        )
        assert await client.join({"config": {"private": True}, "access_token": token("ann")}, "2") == OK


async def test_a_token_of_another_user_changes_whose_events_are_heard(service: RunningService) -> None:
    """From then on, and never both."""
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        await client.send("1", "2", TOPIC, "access_token", {"access_token": token("bob")})
        assert await client.is_quiet()
        await service.tell(made("ann"), made("bob"))
        assert (await client.heard())[1]["user_id"] == "bob"
        assert await client.is_quiet()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (token("ann", secret=OTHER_SECRET), "signature is not right"),
        (token("ann", expires_in_s=-60), "has expired"),
        ("not.a.token", "no JSON Web Token"),
    ],
)
async def test_a_wrong_token_is_refused_and_closes_a_channel(
    service: RunningService, wrong: str, says: str
) -> None:
    """A join with it is refused with the reason; sent later, it ends the channel with a word, as Supabase."""
    async with realtime(service.url, ANON) as client:
        refused = await client.join({"access_token": wrong})
        assert refused["status"] == "error"
        assert refused["response"]["reason"].startswith("InvalidJWTToken: ")
        assert says in refused["response"]["reason"]

        await client.join({"access_token": token("ann")}, "2")
        await client.send("2", "3", TOPIC, "access_token", {"access_token": wrong})
        _, _, topic, event, payload = await client.next()
        assert (topic, event) == (TOPIC, "system")
        assert payload | {"message": ""} == {
            "extension": "system",
            "status": "error",
            "message": "",
            "channel": "wisely.events",
        }
        assert says in payload["message"]
        assert await client.next() == ["2", "2", TOPIC, "phx_close", {}]
        await service.tell(made("ann"))
        assert await client.is_quiet()


async def test_a_channel_ends_when_its_token_has_expired(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a renewed one came in time: the service looks after every half a minute."""
    monkeypatch.setattr(socket_module, "LOOKED_AFTER_EVERY_S", 0.1)
    async with realtime(service.url, ANON) as client, realtime(service.url, ANON) as renewing:
        almost_over = token("ann", expires_in_s=-29)  # and 30 s of leeway
        for each in (client, renewing):
            await each.join({"access_token": almost_over})
        await renewing.send("1", "2", TOPIC, "access_token", {"access_token": token("ann")})
        _, _, _, event, payload = await client.next()
        assert (event, payload["message"]) == ("system", "This token has expired. Sign in again.")
        assert (await client.next())[3] == "phx_close"
        await service.tell(made("ann"))
        assert (await renewing.heard())[1]["user_id"] == "ann"


async def test_leaving_is_confirmed_and_ends_the_events(service: RunningService) -> None:
    """The reply first, then the close; twice is harmless; joining again is possible."""
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        await client.send("1", "2", TOPIC, "phx_leave", {})
        assert await client.next() == ["1", "2", TOPIC, "phx_reply", {"status": "ok", "response": {}}]
        assert await client.next() == ["1", "1", TOPIC, "phx_close", {}]
        await client.send("1", "3", TOPIC, "phx_leave", {})
        assert (await client.next())[3:] == ["phx_reply", {"status": "ok", "response": {}}]
        await service.tell(made("ann", 1))
        assert await client.is_quiet()
        assert await client.join({"access_token": token("ann")}, "4") == OK
        await service.tell(made("ann", 2))
        assert (await client.heard())[1]["number"] == 2


async def test_a_second_join_takes_the_place_of_the_first(service: RunningService) -> None:
    """The earlier channel is closed, and what is said on it is not heard; each event comes once."""
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        await client.send("2", "2", TOPIC, "phx_join", {**JOIN, "access_token": token("ann")})
        assert await client.next() == ["1", "1", TOPIC, "phx_close", {}]
        assert (await client.next())[:2] == ["2", "2"]
        await client.send("1", "3", TOPIC, "phx_leave", {})
        await service.tell(made("ann"))
        assert (await client.heard())[1]["user_id"] == "ann"
        assert await client.is_quiet()


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("realtime:secrets", JOIN, "Unauthorized: You do not have permissions .* topic: secrets"),
        ("realtime:", JOIN, "TopicNameRequired"),
        ("wisely.events", JOIN, "unmatched topic"),
        (TOPIC, {"config": {"postgres_changes": [{"event": "*"}]}}, "postgres_changes are not offered"),
    ],
)
async def test_other_joins_are_refused_with_a_reason(
    service: RunningService, topic: str, payload: dict[str, Any], reason: str
) -> None:
    """The socket stays open for others."""
    async with realtime(service.url, SERVICE_KEY) as client:
        await client.send("1", "1", topic, "phx_join", payload)
        *_, reply = await client.next()
        assert reply["status"] == "error"
        assert re.match(reason, reply["response"]["reason"])
        assert await client.is_quiet()


async def test_a_clients_own_broadcasts_are_not_passed_on(service: RunningService) -> None:
    """Not to others, not to itself, in text or in binary; who asks for an answer is refused."""
    fields = [b"1", b"3", TOPIC.encode(), b"thing_made", b"{}"]
    binary = b"\x03" + bytes(map(len, fields)) + b"\x01" + b"".join(fields) + b'{"user_id":"ann"}'
    asking = {"config": {"broadcast": {"ack": True, "self": True}}, "access_token": token("ann")}
    async with realtime(service.url, ANON) as client, realtime(service.url, ANON) as other:
        await client.join(asking)
        await other.join({"access_token": token("ann")})
        await client.send("1", "2", TOPIC, "broadcast", {"event": "thing_made", "payload": {}})
        assert (await client.next())[4]["status"] == "error"
        await client.socket.send(binary)
        assert (await client.next())[1] == "3"
        await other.socket.send(binary)
        assert await other.is_quiet()
        assert await client.is_quiet()


async def test_a_service_hears_everybody(service: RunningService) -> None:
    """As the service role passes every policy; one that names a user hears that user."""
    async with (
        realtime(service.url, SERVICE_KEY) as everything,
        realtime(
            service.url, headers={"Authorization": f"Bearer {SERVICE_KEY}", "X-User-ID": "bob"}
        ) as of_bob,
    ):
        await everything.join({"config": {"private": True}})
        await of_bob.join()
        await service.tell(made("ann"), made("bob"))
        assert [(await everything.heard())[1]["user_id"] for _ in range(2)] == ["ann", "bob"]
        assert (await of_bob.heard())[1]["user_id"] == "bob"
        assert await of_bob.is_quiet()


@pytest.mark.parametrize(
    ("apikey", "vsn", "status", "says"),
    [
        (None, "2.0.0", 401, "send the project's key"),
        ("wrong", "2.0.0", 401, "This token is not valid"),
        ("sb_publishable_of_another_project", "2.0.0", 401, "This token is not valid"),
        (ANON, "9.9.9", 403, "this service speaks 1.0.0 and 2.0.0"),
    ],
)
async def test_who_may_not_connect_is_told_by_http(
    service: RunningService,
    apikey: str | None,
    vsn: str,
    status: int,
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The sentence is where Supabase's clients look for it; nothing is logged as a fault of the service."""
    with pytest.raises(InvalidStatus) as refused:
        async with realtime(service.url, apikey, vsn):
            pass
    answer = refused.value.response
    problem = json.loads(answer.body or b"{}")
    assert answer.status_code == status
    assert says in problem["error"]
    assert "handshake" not in caplog.text
    assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1] != "0" * 32


async def test_in_a_full_service_the_oldest_without_a_user_makes_room(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens sockets and names nobody shuts out nobody; those with users stay, however old."""
    monkeypatch.setattr(routes_module, "MOST_SOCKETS", 3)
    async with (
        realtime(service.url, ANON) as user,
        realtime(service.url, ANON) as oldest,
        realtime(service.url, ANON) as other,
    ):
        await user.join({"access_token": token("ann")})
        await oldest.join()
        async with realtime(service.url, ANON) as newcomer:
            assert await oldest.closed() == (1013, "too many clients are connected: name a user at once")
            assert await newcomer.join({"access_token": token("bob")}) == OK
            await service.tell(made("ann"), made("bob"))
            assert [(await each.heard())[1]["user_id"] for each in (user, newcomer)] == ["ann", "bob"]
            assert await other.is_quiet()


async def test_a_full_service_says_so(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 where all that are connected have users, with the time after which to come again."""
    monkeypatch.setattr(routes_module, "MOST_SOCKETS", 1)
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        with pytest.raises(InvalidStatus) as refused:
            async with realtime(service.url, ANON):
                pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "30"
        assert await client.is_quiet()
    for _ in range(100):  # the place is free again once the first has gone
        try:
            async with realtime(service.url, ANON):
                return
        except InvalidStatus:
            continue
    raise AssertionError("the place was never free again")


@pytest.mark.parametrize(
    ("wrong", "code"), [("{", 1007), (b"\xff\xff", 1007), ("x" * 70_000, 1009), ("[" * 50_000, 1007)]
)
async def test_what_is_no_frame_ends_its_own_socket_alone(
    service: RunningService, wrong: str | bytes, code: int
) -> None:
    """With a code and a word; the others go on."""
    async with realtime(service.url, ANON) as client, realtime(service.url, ANON) as other:
        await other.join({"access_token": token("ann")})
        await client.socket.send(wrong)
        assert (await client.closed())[0] == code
        await service.tell(made("ann"))
        assert (await other.heard())[1]["user_id"] == "ann"


async def test_a_flood_ends_its_own_socket_alone(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Supabase ends a channel with too many messages per second."""
    monkeypatch.setattr(socket_module, "MOST_FRAMES_A_SECOND", 3)
    async with realtime(service.url, ANON) as client:
        for number in range(12):
            await client.send(None, str(number), "phoenix", "heartbeat", {})
        assert await client.closed() == (1008, "too many messages per second")


async def test_a_silent_client_is_let_go(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats come every 25 seconds from whoever is alive."""
    monkeypatch.setattr(socket_module, "LOOKED_AFTER_EVERY_S", 0.05)
    monkeypatch.setattr(socket_module, "SILENT_S", 0.1)
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        assert await client.closed() == (1000, "no heartbeat")


async def test_who_does_not_keep_up_is_asked_to_come_again(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear end instead of a hole in what it hears."""
    monkeypatch.setattr(feed_module, "MOST_WAITING", 0)
    async with realtime(service.url, ANON) as client:
        await client.join({"access_token": token("ann")})
        await service.tell(made("ann"))
        assert (await client.closed())[0] == 1013


async def test_a_closing_service_ends_sockets_cleanly(tmp_path: Path) -> None:
    """With a code by which clients connect anew, and in time."""
    async with (
        running_service(tmp_path, SIGN_IN) as closing,
        realtime(closing.url, ANON) as client,
    ):
        await client.join({"access_token": token("ann")})
        closing.server.stop()
        assert (await client.closed())[0] == 1012


async def test_in_dev_mode_everybody_is_who_they_say(dev: RunningService) -> None:
    """Without a token this machine's own user, whatever the key; with one its `sub`."""
    async with realtime(dev.url, "any-key") as local, realtime(dev.url) as ann:
        await local.join()
        await ann.join({"access_token": token("ann", secret=OTHER_SECRET)})
        await dev.tell(made("ann"), made("local"))
        assert (await local.heard())[1]["user_id"] == "local"
        assert (await ann.heard())[1]["user_id"] == "ann"
        assert await local.is_quiet()
        assert (await local.next())[3] == "phx_error"


async def test_in_dev_mode_too_a_token_may_come_with_the_second_join(dev: RunningService) -> None:
    """Newer clients that subscribe before they know their user are asked at a heartbeat, and miss nothing."""
    async with realtime(dev.url, "any-key") as client:
        await client.join()
        await dev.tell(made("ann", 1), made("local", 2))
        assert (await client.heard())[1]["number"] == 2
        assert await client.is_quiet()
        assert await client.next() == ["1", "1", TOPIC, "phx_error", {}]
        await client.send("2", "2", TOPIC, "phx_join", {**JOIN, "access_token": token("ann")})
        assert [(await client.next())[3] for _ in range(2)] == ["phx_close", "phx_reply"]
        assert (await client.heard())[1]["number"] == 1
        assert await client.is_quiet()


async def test_in_dev_mode_who_stays_this_machines_user_hears_nothing_twice(dev: RunningService) -> None:
    """It joins once more as it was, and goes on where it was."""
    async with realtime(dev.url, "any-key") as client:
        await client.join()
        await dev.tell(made("local", 1))
        assert (await client.heard())[1]["number"] == 1
        assert await client.is_quiet()
        assert (await client.next())[3] == "phx_error"
        await client.send("2", "2", TOPIC, "phx_join", JOIN)
        assert [(await client.next())[3] for _ in range(2)] == ["phx_close", "phx_reply"]
        await dev.tell(made("local", 2))
        assert (await client.heard())[1]["number"] == 2
        assert await client.is_quiet()


async def test_in_dev_mode_no_foreign_page_connects(dev: RunningService) -> None:
    """A page that a developer happens to visit cannot listen."""
    with pytest.raises(InvalidStatus) as refused:
        async with realtime(dev.url, headers={"Origin": "https://elsewhere.example"}):
            pass
    assert refused.value.response.status_code == 403


async def broadcast(service: RunningService, bearer: str, **message: object) -> httpx2.Response:
    """Ask for a broadcast of one message."""
    usual = {"topic": "wisely.events", "event": "thing_made", "payload": {"user_id": "ann", "number": 1}}
    async with httpx2.AsyncClient() as client:
        return await client.post(
            f"{service.url}/realtime/v1/api/broadcast",
            json={"messages": [{**usual, "private": False, **message}]},
            headers={"Authorization": f"Bearer {bearer}"},
        )


async def test_a_service_broadcasts_to_a_user(service: RunningService) -> None:
    """202 with nothing inside; the payload says by `user_id` whose event it is."""
    async with realtime(service.url, ANON) as client, realtime(service.url, ANON) as other:
        await client.join({"access_token": token("ann")})
        await other.join({"access_token": token("bob")})
        answer = await broadcast(service, SERVICE_KEY)
        assert (answer.status_code, answer.content) == (202, b"")
        assert await client.heard() == ("thing_made", {"user_id": "ann", "number": 1})
        assert await other.is_quiet()


@pytest.mark.parametrize(
    ("bearer", "message", "status"),
    [
        (ANON, {}, 401),
        (token("ann"), {}, 403),
        (SERVICE_KEY, {"topic": "other"}, 400),
        (SERVICE_KEY, {"payload": {"number": 1}}, 400),
        (SERVICE_KEY, {"payload": {"user_id": 7}}, 400),
        (SERVICE_KEY, {"event": "Not a type!"}, 400),
        (SERVICE_KEY, {"payload": {"user_id": "ann", "text": "x" * 40_000}}, 400),
    ],
)
async def test_no_other_broadcast_is_taken(
    service: RunningService, bearer: str, message: dict[str, Any], status: int
) -> None:
    """Neither of other callers, nor of what is nobody's."""
    assert (await broadcast(service, bearer, **message)).status_code == status


async def test_who_connected_by_a_header_hears_nothing_once_it_is_worth_nothing(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is revoked, and a token that has expired, end the channel as those that came later."""
    monkeypatch.setattr(socket_module, "LOOKED_AFTER_EVERY_S", 0.1)
    async with httpx2.AsyncClient(base_url=service.url, headers=as_admin()) as http:
        wanted = {"name": "ears", "scopes": ["events"], "user": "ann"}
        key = (await http.post("/api/v1/keys", json=wanted)).json()
        almost_over = {"Authorization": f"Bearer {token('ann', expires_in_s=-29)}"}  # and 30 s of leeway
        async with (
            realtime(service.url, headers={"X-API-Key": key["key"]}) as by_key,
            realtime(service.url, headers=almost_over) as by_token,
        ):
            for each in (by_key, by_token):
                assert await each.join() == OK
            await service.tell(made("ann"))
            for each in (by_key, by_token):
                assert (await each.heard())[1]["user_id"] == "ann"
            assert (await http.delete(f"/api/v1/keys/{key['id']}")).status_code == 200
            for each in (by_key, by_token):
                assert [(await each.next())[3] for _ in range(2)] == ["system", "phx_close"]
            await service.tell(made("ann"))
            assert await by_key.is_quiet()


async def test_refused_tokens_are_counted_and_on_the_audit_trail(tmp_path: Path) -> None:
    """Of who joins or connects with them, as those of any other request; a good one passes all the same."""
    async with running_service(tmp_path, SIGN_IN | {"limits.refused_sign_ins_per_minute": 1}) as service:
        async with realtime(service.url, ANON) as client:
            forged = {"access_token": token("ann", secret=OTHER_SECRET)}
            reasons = [(await client.join(forged))["response"]["reason"] for _ in range(2)]
            assert [reason.partition(":")[0] for reason in reasons] == [
                "InvalidJWTToken",
                "ChannelRateLimitReached",
            ]
            assert await client.join({"access_token": token("ann")}) == OK
        async with httpx2.AsyncClient(base_url=service.url, headers=as_admin()) as http:
            found = await http.get("/api/v1/audit", params={"action": "sign_in.refused"})
    assert {entry["subject"] for entry in found.json()["items"]} == {"token_invalid"}
