"""What the look at a workflow finds and what passes. The code is text, as linters refuse it too."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import pytest

from orchestrator.durable.guard import Finding, NondeterministicWorkflowError, check
from orchestrator.durable.workflows import workflow


def findings(body: str, above: str = "") -> list[Finding]:
    """What is found in a workflow of this body, under these lines of its module."""
    flow = "async def flow(ctx: Context, given=None):\n" + indent(dedent(body), "    ")
    text = f"from orchestrator import Context, step\n{dedent(above)}\n{flow}"
    module: dict[str, Any] = {"__name__": __name__, "__package__": "shop"}
    exec(compile(text, "/shop/flows.py", "exec"), module)  # noqa: S102  # what is tested
    try:
        check([workflow(module["flow"])])
    except NondeterministicWorkflowError as error:
        return error.findings
    return []


@pytest.mark.parametrize(
    ("above", "body", "used", "instead"),
    [
        ("import time", "time.time()", "time.time", "ctx.now()"),
        ("from time import time as t", "t()", "t", "ctx.now()"),
        ("import time", "time.monotonic_ns()", "time.monotonic_ns", "ctx.now()"),
        ("import time", "time.localtime()", "time.localtime", "ctx.now()"),
        ("import time", "time.sleep(1)", "time.sleep", "ctx.sleep() or asyncio.sleep()"),
        ("from datetime import datetime", "datetime.now()", "datetime.now", "ctx.now()"),
        ("from datetime import UTC, datetime", "datetime.now(UTC)", "datetime.now", "ctx.now()"),
        ("from datetime import UTC, datetime", "datetime.now(tz=UTC)", "datetime.now", "ctx.now()"),
        ("import datetime", "datetime.datetime.utcnow()", "datetime.datetime.utcnow", "ctx.now()"),
        ("import datetime as d", "d.datetime.now().year", "d.datetime.now", "ctx.now()"),
        ("from datetime import date", "date.today()", "date.today", "ctx.now()"),
        ("from datetime import datetime as D\nclass Mine(D): pass", "Mine.now()", "Mine.now", "ctx.now()"),
        ("from datetime import datetime\nnow = datetime.now", "now()", "now", "ctx.now()"),
        ("import uuid", "uuid.uuid4()", "uuid.uuid4", "ctx.uuid()"),
        ("from uuid import uuid1", "str(uuid1())", "uuid1", "ctx.uuid()"),
        ("import uuid_utils", "uuid_utils.uuid7()", "uuid_utils.uuid7", "ctx.uuid()"),
        ("from orchestrator.core.ids import new_id", "new_id()", "new_id", "ctx.uuid()"),
        ("import random", "random.random()", "random.random", "ctx.random"),
        ("from random import choice", "choice([1, 2])", "choice", "ctx.random"),
        ("import random", "random.Random()", "random.Random", "ctx.random"),
        ("import random\nshared = random.Random(3)", "shared.choice([1])", "shared.choice", "ctx.random"),
        ("import random", "random.SystemRandom().random()", "random.SystemRandom", "ctx.random"),
        ("import secrets", "secrets.token_hex(4)", "secrets.token_hex", "a step, or ctx.random"),
        ("import os", "os.urandom(4)", "os.urandom", "ctx.random"),
        ("import os", "os.environ['HOME']", "os.environ", "the workflow's input"),
        ("import requests\nclient = requests.Session()", "client.get('http://a')", "client.get", "a step"),
        ("from httpx2 import Client\nclient = Client()", "client.get('http://a')", "client.get", "a step"),
        ("from os import environ", "environ.get('HOME')", "environ.get", "the workflow's input"),
        ("import os", "os.getenv('HOME')", "os.getenv", "the workflow's input"),
        ("", "hash('text')", "hash", "hashlib"),
        ("", "input('name?')", "input", "ctx.receive()"),
        ("", "open('x')", "open", "a step"),
        ("import io", "io.open('x')", "io.open", "a step"),
        ("from pathlib import Path", "Path('x').read_text()", "(…).read_text", "a step"),
        ("from pathlib import Path", "place = Path('x')\nplace.unlink()", "(…).unlink", "a step"),
        ("from pathlib import Path\nROOT = Path('x')", "ROOT.iterdir()", "ROOT.iterdir", "a step"),
        ("from pathlib import Path", "Path.cwd()", "Path.cwd", "a step"),
        ("import os", "os.listdir('.')", "os.listdir", "a step"),
        ("import os.path", "os.path.exists('x')", "os.path.exists", "a step"),
        ("import shutil", "shutil.rmtree('x')", "shutil.rmtree", "a step"),
        ("from tempfile import TemporaryDirectory", "TemporaryDirectory()", "TemporaryDirectory", "a step"),
        ("import socket", "socket.create_connection(('a', 1))", "socket.create_connection", "a step"),
        ("from socket import socket", "socket()", "socket", "a step"),
        ("import requests", "requests.get('http://a.example')", "requests.get", "a step"),
        ("from httpx2 import AsyncClient", "AsyncClient()", "AsyncClient", "a step"),
        ("import urllib.request", "urllib.request.urlopen('http://a')", "urllib.request.urlopen", "a step"),
        ("import asyncio", "await asyncio.open_connection('a', 1)", "asyncio.open_connection", "a step"),
        ("import sqlite3", "sqlite3.connect('x')", "sqlite3.connect", "a step"),
        ("import subprocess", "subprocess.run(['ls'])", "subprocess.run", "a step"),
        ("import os", "os.system('ls')", "os.system", "a step"),
        (
            "import asyncio",
            "await asyncio.create_subprocess_exec('ls')",
            "asyncio.create_subprocess_exec",
            "a step",
        ),
        ("import threading", "threading.Thread(target=print)", "threading.Thread", "a plain `def` step"),
        ("from asyncio import to_thread", "await to_thread(print)", "to_thread", "a plain `def` step"),
        (
            "from concurrent.futures import ThreadPoolExecutor",
            "with ThreadPoolExecutor() as pool: pool.submit(print)",
            "ThreadPoolExecutor",
            "a plain `def` step",
        ),
        (
            "import asyncio",
            "await asyncio.get_event_loop().run_in_executor(None, print)",
            "(…).run_in_executor",
            "a plain `def` step",
        ),
        (
            "import asyncio",
            "loop = given\nloop.run_in_executor(None, print)",
            "loop.run_in_executor",
            "a plain",
        ),
        ("@step\nasync def fetch(): ...", "await fetch()", "fetch", "ctx.run(…)"),
        ("class Room:\n    @step\n    def fetch(self): ...", "Room.fetch(given)", "Room.fetch", "ctx.run(…)"),
        # Wherever it stands in the function.
        ("import time", "[time.time() for _ in range(3)]", "time.time", "ctx.now()"),
        ("import time", "list(time.time() for _ in range(3))", "time.time", "ctx.now()"),
        ("import time", "{n: time.time() for n in range(3)}", "time.time", "ctx.now()"),
        ("import time", "sorted([1], key=lambda n: time.time())", "time.time", "ctx.now()"),
        ("import time", "print(f'{time.time():.1f}')", "time.time", "ctx.now()"),
        ("import time", "given(*[1], at=time.time(), **{})", "time.time", "ctx.now()"),
        ("import time", "given(time.time)", "time.time", "ctx.now()"),
        ("import time", "if given and not time.time(): return", "time.time", "ctx.now()"),
        ("import time", "try:\n    return\nfinally:\n    time.time()", "time.time", "ctx.now()"),
        ("import time", "match given:\n    case int() if time.time(): return", "time.time", "ctx.now()"),
        ("import time", "async with given(time.time()): pass", "time.time", "ctx.now()"),
        # Imported where it is used.
        ("", "import time\ntime.time()", "time.time", "ctx.now()"),
        ("", "import time as clock\nclock.time()", "clock.time", "ctx.now()"),
        ("", "from time import time, sleep as nap\nnap(1)", "nap", "ctx.sleep() or asyncio.sleep()"),
        ("", "import os.path as places\nplaces.exists('x')", "places.exists", "a step"),
        ("", "import os.path\nos.path.exists('x')", "os.path.exists", "a step"),
        ("", "from time import time\nreturn [time() for _ in range(3)]", "time", "ctx.now()"),
        ("", "import boto3\nboto3.client('s3')", "boto3.client", "a step"),
        ("", "from anthropic import AsyncAnthropic as A\nA()", "A", "a step"),
    ],
)
def test_what_a_replay_would_not_repeat_is_found(above: str, body: str, used: str, instead: str) -> None:
    """Each is found once, by the name that the code has for it, with what to use instead."""
    (found,) = findings(body, above)
    assert found.chain == ("flow", used)
    assert found.rule.instead.startswith(instead)


@pytest.mark.parametrize(
    ("above", "body"),
    [
        ("import asyncio", "await asyncio.sleep(1)\nawait asyncio.gather(given, given)"),
        (
            "import asyncio",
            "async with asyncio.timeout(3), asyncio.TaskGroup() as group: group.create_task(given)",
        ),
        ("import asyncio", "await asyncio.wait([given], return_when=asyncio.FIRST_COMPLETED)"),
        (
            "import asyncio",
            "queue = asyncio.Queue()\nlock = asyncio.Lock()\nasyncio.create_task(queue.get())",
        ),
        ("from datetime import datetime, timedelta", "datetime(2030, 1, 1) + timedelta(days=1) - ctx.now()"),
        ("from datetime import datetime", "datetime.fromisoformat('2030-01-01').date().isoformat()"),
        ("from datetime import datetime", "datetime(2030, 1, 1)\ngiven.now()"),
        ("from datetime import date, datetime", "isinstance(given, (date, datetime))\ndate.min"),
        ("from zoneinfo import ZoneInfo", "ctx.now().astimezone(ZoneInfo('Europe/Rome'))"),
        ("import time", "time.gmtime(0)\ntime.strftime('%Y', given)"),
        ("", "ctx.random.choice([1])\nctx.random.random()\nctx.uuid()\nctx.now()"),
        ("import random", "random.Random(7).random()"),
        ("import random", "rng: random.Random = given\nrng.shuffle([1, 2])"),
        ("from random import Random\ndef pick(rng: Random): return rng.choice([1])", "pick(ctx.random)"),
        ("import uuid", "uuid.UUID(int=3)\nuuid.uuid5(uuid.NAMESPACE_URL, 'x').hex"),
        (
            "import json, math, re, hashlib",
            "json.dumps({})\nmath.sqrt(2)\nre.sub('a', 'b', 'c')\nhashlib.sha256()",
        ),
        ("from pathlib import Path, PurePath", "Path('a').name\nPurePath('b') / 'c'\n'x'.replace('x', 'y')"),
        ("import os", "os.path.join('a', 'b')\nos.path.basename('a/b')\nos.sep"),
        (
            "import subprocess, socket, requests",
            "try:\n    pass\nexcept (subprocess.CalledProcessError, OSError): pass",
        ),
        (
            "import socket, requests",
            "try:\n    pass\nexcept (socket.timeout, requests.ConnectionError): pass",
        ),
        ("import secrets", "secrets.compare_digest('a', 'b')"),
        ("import threading", "threading.current_thread().name"),
        (
            "import logging\nlog = logging.getLogger('x')",
            "log.info('at %s', ctx.now())\nlogging.warning('x')",
        ),
        ("import structlog\nlog = structlog.get_logger()", "log.info('x')"),
        ("import contextlib", "with contextlib.suppress(ValueError): print('seen')"),
        ("import functools", "functools.reduce(max, [1])\nfunctools.partial(max, 1)(2)"),
        (
            "import itertools, collections, copy",
            "collections.Counter('a')\ncopy.deepcopy({})\nlist(itertools.count())",
        ),
        ("@step\nasync def fetch(): ...", "await ctx.run(fetch)\nawait ctx.map(fetch, [])\nfetch.definition"),
        ("import time\n@step\nasync def fetch(): time.time()", "await ctx.run(fetch)"),
        (
            "import time\nclass Shop:\n    @step\n    def get(self): self.t()\n    def t(self): time.time()",
            "await ctx.run(Shop.get)",
        ),
        (
            "from pydantic import BaseModel\nclass Order(BaseModel):\n    item: str\n    def due(self): ...",
            "Order(item='tea').due()\nOrder.model_validate({'item': 'x'}).model_dump_json()",
        ),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass Order:\n    item: str",
            "dataclasses.asdict(Order('x'))",
        ),
        ("import enum\nclass Kind(enum.Enum):\n    A = 1", "Kind.A.value\nKind(1)"),
        ("", "import json as time\ntime.time()"),
        ("", "undefined_until_later()\ngiven.open('x')\ngiven.time.time()"),
        ("", "open = given\nopen('x')"),
    ],
)
def test_what_a_replay_repeats_passes(above: str, body: str) -> None:
    """Nothing of it is found."""
    assert findings(body, above) == []


def test_the_message_says_where_how_and_what_instead() -> None:
    """One line for each place, in the order of the lines, and what to do where it is wrong."""
    above = """
        import time, random
        def stamp():
            return time.time()
    """
    with pytest.raises(NondeterministicWorkflowError) as caught:
        raise NondeterministicWorkflowError(findings("random.random()\nstamp()", above))
    assert caught.value.code == "not_deterministic"
    assert caught.value.message == dedent("""\
        a replay of these workflows would not do the same:
          /shop/flows.py:8: flow → random.random: randomness that a replay does not repeat; use ctx.random
          /shop/flows.py:5: flow → stamp → time.time: the machine's clock; use ctx.now()
        Where a function gives the same on every replay all the same, mark it with @deterministic.""")
