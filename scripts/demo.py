"""Show the service at work: start it if it does not run, watch it write a lesson, and plan a day of learning.

Speaks to the service as anyone would, over its public HTTP API, and leaves it running.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

import httpx2

from orchestrator.app.data_dir import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "orchestrator-data"
LOG = DATA / "service.log"
SAMPLE = ROOT / "samples" / "photosynthesis.md"
TOPIC = "Photosynthesis"
LEARNER = "demo"  # who learns; in dev mode everybody is who they say
GOAL = "Explain to a friend how a leaf makes sugar"
FUNCTIONS = "/functions/v1/orchestrator"
CONTENT = "create-content"  # the step whose parts are sections, streamed as they are written

LOOPBACK = "127.0.0.1"
PORT = 8080
METRICS_PORT = 9090
START_LIMIT_S = 30.0
REQUEST_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.05
LINE_WIDTH = 80

Event = dict[str, Any]


def main() -> int:
    """Run the demo; 1 with a sentence when it fails, 130 when Ctrl-C ends it."""
    try:
        address = running_service()
        with httpx2.Client(base_url=address, timeout=REQUEST_LIMIT_S, trust_env=False) as http:
            generator = write_lesson(http)
            plan_day(http)
    except (DemoError, httpx2.HTTPError) as error:
        print(f"\nThe demo stopped: {error}\nThe service's log is {LOG}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nThe demo stopped; the service goes on with the lesson. `make stop` stops it.", file=sys.stderr
        )
        return 130
    say_what_stays(address, generator)
    return 0


class DemoError(Exception):
    """Why the demo cannot go on, as a sentence."""


# -- the service -------------------------------------------------------------------------------------


def running_service() -> str:
    """The address of the service, started now unless it runs already."""
    service = serving(DATA)
    address = service.address if service else address_of(start_service())
    if not address:
        raise DemoError("another process is starting on the same data; try again in a moment.")
    print(f"The service {'already runs' if service else 'runs'} at {address}")
    return address


def start_service() -> subprocess.Popen[bytes]:
    """Start the service on its defaults, on other ports where theirs are taken, and let it outlive us."""
    port, metrics_port = str(free_port(PORT)), str(free_port(METRICS_PORT))
    DATA.mkdir(mode=0o700, exist_ok=True)
    orchestrator = Path(sys.executable).parent / "orchestrator"
    with LOG.open("ab") as log:
        return subprocess.Popen(
            [orchestrator, "serve", "--port", port, "--data-dir", DATA],
            cwd=ROOT,
            env=os.environ | {"ORCHESTRATOR_SERVER_METRICS_PORT": metrics_port},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def free_port(wanted: int) -> int:
    """The wanted port, or 0 for any when another program listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            print(f"Port {wanted} is taken by another program, so the service takes a free one.")
            return 0
    return wanted


def address_of(process: subprocess.Popen[bytes]) -> str:
    """Wait until the service that was just started announces its address."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        service = serving(DATA)
        if service and service.address:
            return service.address
        try:
            code = process.wait(LOOK_AGAIN_S)
        except subprocess.TimeoutExpired:
            continue
        raise DemoError(f"the service ended with code {code}.")
    process.terminate()
    raise DemoError(f"the service was not ready within {START_LIMIT_S:.0f} s.")


# -- the lesson --------------------------------------------------------------------------------------


def write_lesson(http: httpx2.Client) -> str:
    """Create a session from the sample, watch it run, keep what it made, and say what generated it."""
    text = SAMPLE.read_text()
    print(f"\nA lesson on {TOPIC}, from {SAMPLE.relative_to(ROOT)} ({len(text.split())} words)")
    body = {"topic": TOPIC, "metadata": {"materials": [text]}}
    session = http.post("/api/sessions", json=body)
    check(session)
    path = f"/api/sessions/{session.json()['id']}"
    result = watch(http, f"{path}/run")
    print(f"\n{fill(result['summary'], LINE_WIDTH)}\n")
    lesson = save(http, result, DATA / "demo" / path.rpartition("/")[2])
    print(f"open {lesson.relative_to(ROOT)}")
    print(f"  its pictures           {len(result['images'])}, in images/ beside it")
    print(f"  as JSON                {http.base_url.join(f'{path}/result')}")
    return str(result["generator"])


def check(response: httpx2.Response) -> None:
    """Raise DemoError with what the service says when it refuses."""
    if not response.is_success:
        request = response.request
        raise DemoError(f"{request.method} {request.url} answered {response.status_code}: {response.text}")


def watch(http: httpx2.Client, path: str) -> dict[str, Any]:
    """Run the session, tell what happens as it happens, and return the result of the final event."""
    teller = Teller()
    with http.stream("POST", path, timeout=None) as response:
        if not response.is_success:
            response.read()
        check(response)
        for event in events(response):
            teller.tell(event)
            if event["type"] == "error":
                raise DemoError(f"the lesson failed: {event['data']}")
            if event["type"] == "final":
                return dict(event["data"]["result"])
    raise DemoError("the stream ended before the lesson was complete.")


def events(response: httpx2.Response) -> Iterator[Event]:
    """The events of a stream, as they arrive."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


class Teller:
    """One line for each step's start, for each section and picture, and for the step's end."""

    def __init__(self) -> None:
        self._step = ""
        self._said: dict[int, str] = {}
        self._told: list[str] = []
        self._line = ""

    def tell(self, event: Event) -> None:
        """Print what is new in ``event``."""
        data = event.get("data", {})
        match event["type"]:
            case "step-start":
                self._step, self._said, self._told, self._line = data["step_name"], {}, [], ""
                print(f"  {data['step_index'] + 1}. {self._step}", flush=True)
            case "step-delta" if "part" in data:
                self._part(data)
            case "step-delta" if line := on_one_line(data["delta"]):
                self._line = line
                print(f"     {line}", flush=True)
            case "step-complete":
                self._complete(data)

    def _part(self, data: Event) -> None:
        """A section is told by its heading as soon as that is whole, a picture once it is drawn."""
        number, parts = data["part"], data["parts"]
        before = "" if data.get("reset") else self._said.get(number, "")
        self._said[number] = (before + data["delta"]).lstrip()
        first, ended, _ = self._said[number].partition("\n")
        if self._step != CONTENT and data["delta"]:
            self._tell_part(data["delta"], parts)
        elif ended and number > len(self._told):
            self._tell_part(first.lstrip("# "), parts)

    def _complete(self, data: Event) -> None:
        """The step's output has a line for each part; what came with the end of the step is told now."""
        outputs = data["output"].splitlines()
        if self._step != CONTENT and self._told:
            for output in outputs:
                if output not in self._told:
                    self._tell_part(output, len(outputs))
        last = on_one_line(data["output"])
        said = "" if self._told or last == self._line else f": {last}"
        print(f"     done in {data['duration']} ms{said}", flush=True)

    def _tell_part(self, text: str, parts: int) -> None:
        self._told.append(text)
        print(f"     {len(self._told)} of {parts}  {on_one_line(text)}", flush=True)


def on_one_line(text: str) -> str:
    """The text with its lines side by side, cut to what a line of a terminal holds."""
    return shorten(
        " · ".join(text.split("\n")) if "\n" in text.strip() else text, LINE_WIDTH, placeholder=" …"
    )


def save(http: httpx2.Client, result: dict[str, Any], folder: Path) -> Path:
    """Write the lesson as Markdown, its pictures where it links them; gives the Markdown's path."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for address in result["images"].values():
        picture = http.get(address)
        check(picture)
        (images / address.rpartition("/")[2]).write_bytes(picture.content)
    lesson = folder / "lesson.md"
    lesson.write_text(result["lesson"])
    return lesson


# -- the day -----------------------------------------------------------------------------------------


def plan_day(http: httpx2.Client) -> None:
    """Say what to learn, have a day planned, tell how it went, and see when the next one comes."""
    print(f"\nA day of learning {TOPIC}, planned from what four agents say")
    call(http, "intent.sync", topic=TOPIC, depth="informed", end_goal=GOAL, time_per_day_min=45)
    plan = call(http, "day.run", week=1, day=1)
    heard = [agent for agent, signal in plan["signal_quality"].items() if signal["available"]]
    print(f"  heard {', '.join(heard)}: {plan['cache_hits']} from the cache, {plan['cache_misses']} anew")
    print(f"  {plan['plan_json_summary']['title']}")
    for number, step in enumerate(plan["plan_json_summary"]["steps"], start=1):
        print(fill(step, LINE_WIDTH, initial_indent=f"  {number}. ", subsequent_indent="     "))
    done = call(http, "day.done", session_id=plan["session_id"], completion_time_min=40, confidence=8)
    print(fill(done["next_day_hint"], LINE_WIDTH, initial_indent="  done: ", subsequent_indent="     "))
    if upcoming := call(http, "status")["next_scheduled_run"]:
        place = f"week {upcoming['week']}, day {upcoming['day']}"
        print(f"  next: {place}, prepared at {upcoming['estimated_time']}")


def call(http: httpx2.Client, function: str, **body: object) -> dict[str, Any]:
    """What a function of the orchestrator answers the demo's learner."""
    answer = http.post(f"{FUNCTIONS}/{function}", json=body, headers={"X-User-ID": LEARNER})
    check(answer)
    return dict(answer.json())


def say_what_stays(address: str, generator: str) -> None:
    """Tell what runs on, how to use and stop it, and what this demo did without."""
    service = serving(DATA)
    process = f"process {service.pid}" if service else "which has just ended"
    print(f"""
The service goes on at {address} ({process}); its log is {LOG.relative_to(ROOT)}
  a lesson of your own   .venv/bin/orchestrator lesson "TOPIC" --materials FILE
  days of your own       docs/days.md has the four calls
  the API's reference    {address}/docs
  stop it                make stop

Left out of this demo:""")
    if generator == "offline":
        print("""\
  a language model       the offline composer wrote this lesson, from the sample alone, and rules
                         planned the day; set OPENAI_API_KEY, or OPENAI_BASE_URL for your own""")
    print(f"""\
  a cluster              Temporal, PostgreSQL and Redis were not used;
                         one process did everything, on files in {DATA.name}/""")


if __name__ == "__main__":
    sys.exit(main())
