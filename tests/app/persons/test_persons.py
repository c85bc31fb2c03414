"""What is held about a person can be had in one file, and is gone when it is erased."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx2
import pytest
from sqlalchemy import select, update

from orchestrator import Context, workflow
from orchestrator.app.compaction import compact
from orchestrator.app.persons import rows
from orchestrator.app.persons.told import Told
from orchestrator.app.wiring import built
from orchestrator.core.errors import UnavailableError
from orchestrator.core.settings import load_settings
from orchestrator.db import SYSTEM
from orchestrator.streams import DeadLetter, dead_letters
from orchestrator.web.auth.keys.tables import ApiKeyRow
from orchestrator.web.events import STREAM, NewEvent
from orchestrator.web.idempotency.tables import IdempotencyRow
from support.loop_clock import loop_clock
from support.planted import LATER, owned_tables, plant, rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from orchestrator.app.wiring import Service
    from support.tables import Tables

ADA: Final = "ada-6b1f"
BOB: Final = "bob-90cc"
HERS: Final = "xylophonist"
HIS: Final = "quadrilateral"
# Rows of the outbox go on to the stream at any moment.
LASTING: Final = set(owned_tables()) - {"outbox"}


@workflow
async def waits(ctx: Context, word: str) -> str:
    """Wait for ever, and clean up without haste."""
    ctx.publish("said", word)
    return await ctx.receive("word", str)


@workflow
async def parent(ctx: Context, word: str) -> str:
    """Wait for a child."""
    return await ctx.child(waits, word)


class House:
    """A service as its operator and its users see it."""

    def __init__(self, service: Service, client: httpx2.AsyncClient) -> None:
        self.service = service
        self._client = client

    async def asked(self, path: str, key: str | None = None, **body: str) -> httpx2.Response:
        """What the operator is answered."""
        token = {"Authorization": f"Bearer {self.service.claim.token}"}
        if key is not None:
            token["Idempotency-Key"] = key
        return await self._client.post(f"/api/v1/{path}", json=body, headers=token)

    async def exported(self, user: str, key: str | None = None) -> dict[str, Any]:
        """The files of an export: lines of JSON, or bytes."""
        answer = await self.asked("persons/export", key, user=user)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            return {name: _read(name, archive.read(name)) for name in archive.namelist()}

    async def lesson(self, user: str, word: str) -> str:
        """A finished lesson of that user on that word; its session's id."""
        as_user = {"X-User-ID": user, "Idempotency-Key": f"key-{word}"}
        body = {"topic": word, "metadata": {"materials": [f"# {word}\nThe {word} plays the {word}."]}}
        made = await self._client.post("/api/sessions", json=body, headers=as_user)
        session_id = str(made.json()["id"])
        told = await self._client.post(f"/api/sessions/{session_id}/run", headers={"X-User-ID": user})
        assert "final" in told.text
        return session_id

    async def filled(self, user: str, word: str) -> None:
        """Have something of that user with that word wherever there can be."""
        resources = self.service.resources
        await self.lesson(user, word)
        gone = await self._client.delete(
            f"/api/sessions/{await self.lesson(user, f'{word}s')}", headers={"X-User-ID": user}
        )
        assert gone.status_code == 204
        await plant(resources.database, user, word)
        async with resources.database.session(user) as session:
            resources.outbox.add(session, NewEvent("lesson_said", user, {"word": word}))
        await resources.outbox.relay()
        streams = resources.streams()
        (last,) = (await streams.read(STREAM))[-1:]
        dead = DeadLetter(last, STREAM, "webhooks", "one", 5, "never acknowledged")
        await streams.append(dead_letters(STREAM), last.type, dead.data(), key=last.key)
        engine = self.service.engine
        await engine.start(waits, word, owner=user)
        await engine.start(parent, word, id=f"parent-{word}", owner=user)
        await engine.schedule(waits, word, id=f"daily-{word}", cron="@daily", owner=user)


def _read(name: str, data: bytes) -> object:
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in data.splitlines()]
    return data


@asynccontextmanager
async def house(data_dir: Path, **settings: object) -> AsyncIterator[House]:
    """A service on that directory."""
    with built(load_settings(None, {"data_dir": data_dir, **settings})) as service:
        service.engine.add(workflows=[waits, parent])
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=service.app), base_url="http://127.0.0.1", timeout=60
            ) as client,
        ):
            yield House(service, client)


def api_key(owner: str, key_id: str) -> ApiKeyRow:
    """A row of theirs."""
    return ApiKeyRow(
        id=key_id,
        owner=owner,
        name="backup",
        sha256="0" * 64,
        scopes=["days"],
        created_at=LATER,
        created_by="",
    )


def files_with(folder: Path, *words: str) -> Iterator[str]:
    """The files anywhere in ``folder`` with one of these words in their bytes."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and any(word.encode() in file.read_bytes() for word in words):
            yield file.name


async def test_what_is_held_about_a_person_is_in_one_file_and_then_gone(
    tables: Tables, tmp_path: Path
) -> None:
    """All of hers, nothing of his; and once it is erased, not a byte of it is in the data directory."""
    data_dir = tmp_path / "data"
    async with house(data_dir, **tables.settings) as service:
        for user, word in ((ADA, HERS), (BOB, HIS)):
            await service.filled(user, word)

        of_ada = await service.exported(ADA)
        assert set(of_ada) >= {f"tables/{table}.jsonl" for table in LASTING}
        assert set(of_ada) >= {"about.json", "runs.jsonl", "events.jsonl", "schedules.jsonl"}
        assert {name.rpartition("/")[2] for name in of_ada if name.startswith("files/lessons/")}
        assert len(of_ada["runs.jsonl"]) == 4  # the lesson's, one that waits, one with a child
        everything = str(of_ada)
        assert HERS in everything
        assert HIS not in everything
        assert BOB not in everything
        for table, secret in (("api_keys", "sha256"), ("webhooks", "secret"), ("webhooks", "old_secret")):
            assert {row[secret] for row in of_ada[f"tables/{table}.jsonl"]} == {"[secret]"}

        erased = (await service.asked("persons/erase", user=ADA)).json()
        assert (erased["user"], erased["runs"], erased["schedules"]) == (ADA, 3, 1)
        assert erased["rooms"] == {"lessons": 2}
        assert erased["events"] >= 2
        assert erased["blanked"] == len(of_ada["audit.jsonl"]) >= 1
        assert {kept["what"] for kept in erased["kept"]} >= {"backups that you made"}
        assert HERS not in str(erased)

        assert not any((await rows_of(service.service.resources.database, ADA)).values())
        kept = await rows_of(service.service.resources.database, BOB)
        assert all(kept[table] for table in LASTING)
        assert await service.service.engine.list(owner=ADA) == []
        assert len(await service.service.engine.list(owner=BOB)) == 4
        again = (await service.asked("persons/erase", user=ADA)).json()
        assert [again[kind] for kind in ("rooms", "tables", "runs", "events")] == [{}, {}, 0, 0]
        assert set(await service.exported(ADA)) == {"about.json"}

    compact(data_dir)
    assert list(files_with(data_dir, HERS, ADA)) == []
    assert "journal.db" in list(files_with(data_dir, HIS))


@pytest.mark.parametrize("key", [None, "once"])
async def test_a_large_export_takes_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """It is sent as it is made, so the deadline of requests is for each record, and the file is whole."""
    records, limit_s = 2_000, 1.0
    page = rows.Rows._read

    async with house(tmp_path, **{"server.request_timeout_s": limit_s}) as service:
        async with service.service.resources.database.session(SYSTEM) as session:
            for number in range(records):
                session.add(api_key(ADA, f"{number:012}"))
        with loop_clock() as clock:

            async def slow(*asked: Any) -> Any:  # noqa: ANN401 - what it stands for takes and gives
                if found := await page(*asked):
                    await clock.advance(0.9 * limit_s)
                return found

            monkeypatch.setattr(rows.Rows, "_read", slow)
            of_ada = await service.exported(ADA, key)
    assert len(of_ada["tables/api_keys.jsonl"]) == records


async def test_an_export_that_cannot_begin_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other request, before anything of it is sent."""

    async def away(*_: object) -> Any:  # noqa: ANN401
        raise UnavailableError("The tables are away.")

    async with house(tmp_path) as service:
        monkeypatch.setattr(rows.Rows, "_read", away)
        answer = await service.asked("persons/export", user=ADA)
    assert (answer.status_code, answer.json()["detail"]) == (503, "The tables are away.")


async def test_an_erasure_that_is_interrupted_goes_on_when_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gone stays gone, and the rest goes with the next call."""

    async def away(*_: object) -> int:
        raise UnavailableError("The stream is away.")

    async with house(tmp_path) as service:
        await service.filled(ADA, HERS)
        with monkeypatch.context() as broken:
            broken.setattr(Told, "remove", away)
            assert (await service.asked("persons/erase", user=ADA)).status_code == 503
        rest = (await service.asked("persons/erase", user=ADA)).json()
        assert (rest["rooms"], rest["tables"]) == ({}, {})
        assert rest["events"] >= 2
        assert set(await service.exported(ADA)) == {"about.json"}


async def test_no_answer_about_a_person_outlives_their_erasure(tmp_path: Path) -> None:
    """Asked under an Idempotency-Key, nothing is kept of them among what is the admin's."""
    async with house(tmp_path) as service:
        await service.lesson(ADA, HERS)
        for path in ("persons/export", "persons/erase"):
            assert (await service.asked(path, key="once", user=ADA)).status_code == 200
            again = await service.asked(path, key="once", user=ADA)
            assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_not_kept")
        moved = await service.asked("owners/move", key="once", giver=ADA, taker=BOB)
        assert moved.status_code == 200
        async with service.service.resources.database.session(SYSTEM) as session:
            kept = await session.all(select(IdempotencyRow))
    assert [row.body for row in kept] == [None, None, None]


async def test_the_keys_that_an_erased_admin_made_no_longer_say_so(tmp_path: Path) -> None:
    """They are others' and stay; her name in them does not."""
    async with house(tmp_path) as service:
        database = service.service.resources.database
        await plant(database, BOB, HIS)
        async with database.session(SYSTEM) as session:
            made = update(ApiKeyRow).where(ApiKeyRow.owner == BOB).values(created_by=f"user:{ADA}")
            assert await session.change(made) == 1
        assert (await service.asked("persons/erase", user=ADA)).status_code == 200
        async with database.session(SYSTEM) as session:
            assert await session.all(select(ApiKeyRow.created_by)) == ["user:erased"]


async def test_what_is_no_event_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Other programs may write into a stream that they share; a person is found and erased all the same."""
    async with house(tmp_path) as service:
        await service.lesson(ADA, HERS)
        await service.service.resources.outbox.relay()
        streams = service.service.resources.streams()
        for stream in (STREAM, dead_letters(STREAM)):
            await streams.append(stream, "thing_made", b"no event")
        assert HERS in str(await service.exported(ADA))
        assert (await service.asked("persons/erase", user=ADA)).status_code == 200
        assert set(await service.exported(ADA)) == {"about.json"}


async def test_only_users_are_persons(tmp_path: Path) -> None:
    """What the service does by itself is nobody's to export, erase or take."""
    async with house(tmp_path) as service:
        for user in ("system", "", "a\0b", "x" * 256):
            for path in ("persons/export", "persons/erase"):
                assert (await service.asked(path, user=user)).status_code == 400
            assert (await service.asked("owners/move", giver="local", taker=user)).status_code == 400
        assert [schedule.owner for schedule in await service.service.engine.schedules()] == ["system"]


async def test_admins_alone_may(tmp_path: Path) -> None:
    """Not even the person itself."""
    async with house(tmp_path) as service:
        for path in ("persons/export", "persons/erase", "owners/move"):
            for headers in ({}, {"X-User-ID": ADA}):
                answer = await service._client.post(f"/api/v1/{path}", json={"user": ADA}, headers=headers)
                assert answer.status_code in {401, 403}


# -- owners ------------------------------------------------------------------------------------------


async def test_what_was_made_in_dev_mode_is_handed_to_a_user(tables: Tables, tmp_path: Path) -> None:
    """Rows and ended runs go; they are found as the new owner's, and the second time there is nothing."""
    async with house(tmp_path / "data", **tables.settings) as service:
        lesson = await service.lesson("local", HERS)
        await plant(service.service.resources.database, "local", HERS)

        moved = (await service.asked("owners/move", giver="local", taker=ADA)).json()
        assert (set(moved["tables"]) - {"outbox"}, moved["left"]) == (LASTING, {})
        assert moved["runs"] == 1
        shown = await service._client.get(f"/api/sessions/{lesson}/result", headers={"X-User-ID": ADA})
        assert HERS in shown.json()["lesson"]
        assert (await service._client.get(f"/api/sessions/{lesson}/result")).status_code == 404
        assert [run.owner for run in await service.service.engine.list(workflow="lesson")] == [ADA]

        again = (await service.asked("owners/move", giver="local", taker=ADA)).json()
        assert (again["tables"], again["left"], again["runs"]) == ({}, {}, 0)


async def test_what_the_user_has_already_stays(tables: Tables, tmp_path: Path) -> None:
    """The same signal of the same agent: the user's own is as it was, and the other one is told of."""
    async with house(tmp_path / "data", **tables.settings) as service:
        database = service.service.resources.database
        from sqlalchemy import select

        from orchestrator.features.days.tables import SignalRow

        async def keep(owner: str, key: str) -> None:
            async with database.session(owner) as session:
                session.add(SignalRow(agent="clo", key=key, data=owner, fetched_at=1.0, confirmed_at=1.0))

        for owner, key in (("local", "same"), ("local", "other"), (ADA, "same")):
            await keep(owner, key)
        moved = (await service.asked("owners/move", giver="local", taker=ADA)).json()
        assert (moved["tables"], moved["left"]) == ({"day_signals": 1}, {"day_signals": 1})
        async with database.session(ADA) as session:
            assert {row.key: row.data for row in await session.all(select(SignalRow))} == {
                "same": ADA,
                "other": "local",
            }


async def test_of_two_active_intents_the_new_owners_stays_active(tables: Tables, tmp_path: Path) -> None:
    """The other one comes too, as one of earlier ones; without one of the new owner's it stays active."""
    wanted = {"depth": "informed", "end_goal": "To know", "time_per_day_min": 30}
    async with house(tmp_path / "data", **tables.settings) as service:

        async def learns(user: str, topic: str | None = None) -> str:
            """Have the user learn that, if anything; gives what the user learns."""
            as_user = {"X-User-ID": user}
            functions = "/functions/v1/orchestrator"
            if topic is not None:
                body = {"topic": topic, **wanted}
                made = await service._client.post(f"{functions}/intent.sync", json=body, headers=as_user)
                assert made.status_code == 200, made.text
            status = await service._client.get(f"{functions}/status", headers=as_user)
            return str(status.json())

        for user, topic in ((ADA, "Tides"), (BOB, "Clouds")):
            assert topic in await learns(user, topic)
        moved = (await service.asked("owners/move", giver=BOB, taker=ADA)).json()
        assert (moved["tables"]["day_intents"], moved["left"]) == (1, {})
        assert "Tides" in await learns(ADA)
        assert "Clouds" not in await learns(ADA)
        assert (await service.asked("owners/move", giver=ADA, taker=BOB)).json()["left"] == {}
        assert "Tides" in await learns(BOB)


async def test_nothing_moves_while_runs_are_open(tmp_path: Path) -> None:
    """They go on in their owner's name; the answer says what to do."""
    async with house(tmp_path) as service:
        await service.service.engine.start(waits, HERS, owner="local")
        answer = await service.asked("owners/move", giver="local", taker=ADA)
        assert answer.status_code == 409
        assert "1 runs of local are open" in answer.json()["detail"]
        same = await service.asked("owners/move", giver=ADA, taker=ADA)
        assert same.status_code == 400
