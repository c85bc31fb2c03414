"""Whatever part of a cluster goes away for a while: lessons complete, and who watches misses nothing.

Real processes on real servers. Each test runs many lessons at once, keeps each of them in the middle of some
step, does the harm, and lets all go on.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
import requests

from support.cluster import READY_LIMIT_S, running_cluster
from support.event_source import EventSource
from support.releases import REVIEWED, later_release
from support.scripted_lesson import CALLS, OUTLINE, SECTION, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.cluster import Cluster
    from support.event_source import Told
    from support.services import ServiceProcess

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.temporal,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.timeout(300),
]

REQUEST_LIMIT_S = 60.0
# For so long a lesson, and then each further one, may keep all waiting, on a machine that does much else.
PATIENCE_S = 60.0
PATIENCE_PER_LESSON_S = 3.0
OUTAGE_S = 20.0

few_or_many = pytest.mark.parametrize(
    "how_many", [10, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two API processes, two workers, and the servers that they need."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whole again after what the test before did to it; at the end nobody watches it."""
    shared_cluster.mend()
    shared_cluster.provider.forget()
    yield shared_cluster
    for thread in threading.enumerate():
        if isinstance(thread, EventSource):
            thread.leave()


@dataclass(frozen=True, slots=True)
class Lessons:
    """Lessons under way, each with somebody who watches it from its beginning."""

    cluster: Cluster
    watchers: dict[str, EventSource]

    @classmethod
    def begin(cls, cluster: Cluster, how_many: int, *, at: int | None = None) -> Lessons:
        """Begin so many, and wait until each is in the middle of a step, a different one each time.

        The API process of number ``at`` starts them; without, all of them do in turn.
        """
        sessions = f"{cluster.addresses[0]}/api/sessions"
        created = [
            requests.post(sessions, json={"topic": "Tides"}, timeout=REQUEST_LIMIT_S) for _ in range(how_many)
        ]
        ids = [answer.json()["id"] for answer in created]
        cluster.provider.hold(ids)
        watchers = {
            session_id: EventSource(cluster.addresses_from(number if at is None else at), session_id)
            for number, session_id in enumerate(ids)
        }
        for watcher in watchers.values():
            watcher.start()
        cluster.provider.wait_until_held(patience_s(how_many))
        return cls(cluster, watchers)

    @property
    def summaries(self) -> list[str]:
        """What the lessons say at their end."""
        return [watcher.told[-1][1]["data"]["result"]["summary"] for watcher in self.watchers.values()]

    def end(self) -> None:
        """Let all go on and wait for all ends, then check what was promised."""
        self.cluster.provider.let_go()
        deadline = time.monotonic() + patience_s(len(self.watchers))
        for watcher in self.watchers.values():
            watcher.join(max(deadline - time.monotonic(), 0))
        for watcher in self.watchers.values():
            watcher.leave()
        self.check_watchers()
        self.check_steps()

    def check_watchers(self) -> None:
        """Each saw all of its lesson, once and in order, as somebody who comes late is told it."""
        for session_id, watcher in self.watchers.items():
            assert not watcher.refusal
            assert watcher.saw_the_end, watcher.told[-2:]
            late = EventSource(self.cluster.addresses[:1], session_id)
            late.run()
            assert watcher.story == late.story
            check_story(late.story)

    def check_steps(self) -> None:
        """No step was done again that was completed."""
        for session_id in self.watchers:
            operations = self.cluster.provider.asked_by(session_id)
            assert has_no_way_back(operations), operations


def patience_s(lessons: int) -> float:
    """How long to wait for so many lessons."""
    return PATIENCE_S + PATIENCE_PER_LESSON_S * lessons


def has_no_way_back(operations: Sequence[str]) -> bool:
    """Whether all calls were made, and none again after the next one had been."""
    in_turn = [operation for operation, _ in groupby(operations)]
    return len(in_turn) == len(set(in_turn)) == CALLS


def check_story(story: Sequence[Told]) -> None:
    """Each event once and in order; five steps begun and completed, and every word of the sections."""
    places = [tuple(map(int, event_id.split("-"))) for event_id, _ in story]
    assert places == sorted(set(places))
    events = [event for _, event in story]
    assert events[-1]["type"] == "final", events[-1]
    for kind in ("step-start", "step-complete"):
        steps = [event["step_id"] for event in events if event["type"] == kind]
        assert steps == [f"step-{number}" for number in range(1, 6)]
    sections = "".join(f"## {planned['title']}\n\n{SECTION}\n\n" for planned in OUTLINE["sections"])
    assert "".join(text_of(events).values()).strip() == sections.strip()


def text_of(events: Sequence[dict[str, Any]]) -> dict[int, str]:
    """What the deltas of the sections say, by section, after what was taken back."""
    said: dict[int, str] = {}
    for event in events:
        if event["type"] == "step-delta" and event["step_id"] == "step-3":
            data = event["data"]
            before = "" if data.get("reset") else said.get(data["part"], "")
            said[data["part"]] = before + data["delta"]
        if event["type"] == "step-complete" and event["step_id"] == "step-3":
            said[len(said) + 1] = ""
    return said


@few_or_many
def test_workers_that_are_killed_lose_nothing(cluster: Cluster, how_many: int) -> None:
    """One in the midst of its steps, and the other, once the first is back, between and in them."""
    first, second = cluster.workers
    lessons = Lessons.begin(cluster, how_many)
    first.kill()
    cluster.provider.let_go()
    first.launch()
    cluster.provider.wait_until_asked(how_many * (CALLS - 1), patience_s(how_many))
    second.kill()
    second.launch()
    lessons.end()


@few_or_many
def test_temporal_that_is_away_for_a_while_loses_nothing(cluster: Cluster, how_many: int) -> None:
    """Stopped in order for twenty seconds, in which steps complete whose outcome nobody can take."""
    lessons = Lessons.begin(cluster, how_many)
    cluster.temporal.stop()
    cluster.provider.let_go()
    time.sleep(OUTAGE_S)  # the outage itself
    cluster.temporal.start()
    lessons.end()


@few_or_many
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_redis_that_is_restarted_loses_nothing(cluster: Cluster, how_many: int, way: str) -> None:
    """In order or at once: what is said while it is away comes to the watchers when it is back."""
    lessons = Lessons.begin(cluster, how_many)
    getattr(cluster.redis, way)()
    cluster.provider.let_go()
    cluster.redis.start()
    lessons.end()


@few_or_many
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_postgres_that_is_restarted_loses_nothing(cluster: Cluster, how_many: int, way: str) -> None:
    """In order or at once: steps wait for it, and nothing that a model has answered is asked again."""
    lessons = Lessons.begin(cluster, how_many)
    getattr(cluster.postgres, way)()
    cluster.provider.let_go()
    cluster.postgres.start()
    lessons.end()


@few_or_many
def test_an_api_that_is_killed_loses_nobody(cluster: Cluster, how_many: int) -> None:
    """Its watchers go on at the other one; then that is killed, and all come back to the first."""
    first, second = cluster.apis
    lessons = Lessons.begin(cluster, how_many)
    first.kill()
    cluster.provider.let_go()
    first.launch()
    first.wait_until_ready(READY_LIMIT_S)
    second.kill()
    lessons.end()


@few_or_many
def test_two_versions_of_the_code_work_side_by_side(cluster: Cluster, how_many: int, tmp_path: Path) -> None:
    """A rolling deployment: lessons go on in the version that they began with, whoever works on them."""
    code = later_release(tmp_path)
    (old_api, new_api), (old_worker, new_worker) = cluster.apis, cluster.workers
    lessons = Lessons.begin(cluster, how_many // 2)
    try:
        deploy(code, new_api, new_worker)
        later_lessons = Lessons.begin(cluster, how_many // 2, at=1)
        lessons.end()
        later_lessons.end()
        shown = [result_at(old_api, session_id) for session_id in later_lessons.watchers]
        deploy(code, old_api, old_worker)
        last_lessons = Lessons.begin(cluster, 2)
        last_lessons.end()
    finally:
        for process in cluster.processes:
            process.kill()
            process.take(None)
    assert set(lessons.summaries) == {SUMMARY}
    assert set(later_lessons.summaries + last_lessons.summaries) == {REVIEWED + SUMMARY}
    assert [result["summary"] for result in shown] == later_lessons.summaries


def result_at(api: ServiceProcess, session_id: str) -> dict[str, Any]:
    """A finished lesson, as that process shows it."""
    answer = requests.get(f"{api.base_url}/api/sessions/{session_id}/result", timeout=REQUEST_LIMIT_S)
    shown: dict[str, Any] = answer.json()
    return shown


def deploy(code: Path, *processes: ServiceProcess) -> None:
    """Stop these in order, one after the other, and start each again with that code."""
    for process in processes:
        process.terminate()
        process.take(code)
        process.launch()
        process.wait_until_ready(READY_LIMIT_S)
