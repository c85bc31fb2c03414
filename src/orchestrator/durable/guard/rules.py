"""What a workflow may not use, by the names under which Python knows it, and what to use instead.

A name is a top-level package and what is defined in it: ``("datetime", "datetime.now")``, ``("urllib",
"urlopen")``. So it does not matter how the code came by it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """What something is to a workflow, and what to use instead."""

    what: str
    instead: str


_TIME = Rule("the machine's clock", "ctx.now()")
_WAIT = Rule("a wait that blocks the process", "ctx.sleep() or asyncio.sleep()")
_RANDOM = Rule("randomness that a replay does not repeat", "ctx.random")
_SECRET = Rule("randomness that a replay does not repeat", "a step, or ctx.random where it is no secret")
_UUID = Rule("an id that a replay does not repeat", "ctx.uuid()")
_HASH = Rule("text hashes that differ in each process", "hashlib")
_FILE = Rule("a file or folder", "a step")
_NETWORK = Rule("the network", "a step")
_DATABASE = Rule("a database", "a step")
_PROCESS = Rule("a process", "a step")
_THREAD = Rule("a thread", "a plain `def` step, which runs in one")
_ENVIRONMENT = Rule("the machine it happens to run on", "the workflow's input, or a step")
_PERSON = Rule("input from a terminal", "ctx.receive()")

STEP_CALLED = Rule("a step that is called, so nothing of it is recorded", "ctx.run(…)")
NOT_AWAITED = Rule("not awaited, so the workflow goes on without it", "await")


def _each(rule: Rule, package: str, names: str) -> dict[Name, Rule]:
    return {(package, name): rule for name in names.split()}


_RULES: dict[Name, Rule] = {
    **_each(_TIME, "time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns"),
    **_each(
        _TIME,
        "time",
        "process_time process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns",
    ),
    **_each(_TIME, "datetime", "datetime.now datetime.utcnow datetime.today date.today"),
    **_each(_WAIT, "time", "sleep"),
    **_each(_RANDOM, "os", "urandom getrandom"),
    **_each(_RANDOM, "random", "SystemRandom"),
    **_each(_RANDOM, "numpy", "rand randn randint random choice shuffle permutation normal uniform"),
    **_each(_UUID, "uuid", "uuid1 uuid4 uuid6 uuid7 getnode"),
    **_each(_UUID, "uuid_utils", "uuid1 uuid4 uuid6 uuid7"),
    **_each(_UUID, "orchestrator", "new_id"),
    **_each(_HASH, "builtins", "hash"),
    **_each(_PERSON, "builtins", "input"),
    **_each(_FILE, "builtins", "open"),
    **_each(_FILE, "io", "open open_code FileIO"),
    **_each(_FILE, "codecs", "open"),
    **_each(_FILE, "genericpath", "exists lexists isfile isdir getsize getmtime getatime getctime samefile"),
    **_each(_FILE, "posixpath", "exists lexists realpath ismount"),
    **_each(_FILE, "ntpath", "exists lexists realpath ismount isfile isdir"),
    **_each(_FILE, "pathlib", "Path.read_text Path.read_bytes Path.write_text Path.write_bytes Path.open"),
    **_each(
        _FILE, "pathlib", "Path.exists Path.is_file Path.is_dir Path.iterdir Path.glob Path.rglob Path.walk"
    ),
    **_each(
        _FILE, "pathlib", "Path.stat Path.lstat Path.mkdir Path.rmdir Path.unlink Path.rename Path.touch"
    ),
    **_each(_FILE, "pathlib", "Path.chmod Path.symlink_to Path.hardlink_to Path.samefile Path.cwd Path.home"),
    **_each(
        _FILE, "os", "open read write stat lstat access listdir scandir walk mkdir makedirs remove unlink"
    ),
    **_each(
        _FILE,
        "os",
        "rmdir removedirs rename renames replace link symlink readlink truncate chmod chown utime",
    ),
    **_each(
        _ENVIRONMENT, "os", "_Environ getenv putenv unsetenv getcwd chdir getpid getppid getlogin cpu_count"
    ),
    **_each(_PROCESS, "os", "system popen fork forkpty posix_spawn posix_spawnp kill killpg"),
    **_each(_PROCESS, "os", "execl execle execlp execlpe execv execve execvp execvpe"),
    **_each(_PROCESS, "os", "spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe startfile"),
    **_each(_PROCESS, "asyncio", "create_subprocess_exec create_subprocess_shell"),
    **_each(_NETWORK, "asyncio", "open_connection start_server open_unix_connection start_unix_server"),
    **_each(_THREAD, "asyncio", "to_thread run_coroutine_threadsafe"),
    **_each(_THREAD, "threading", "Thread Timer"),
    **_each(_THREAD, "concurrent", "ThreadPoolExecutor InterpreterPoolExecutor"),
    **_each(_PROCESS, "concurrent", "ProcessPoolExecutor"),
    **_each(_NETWORK, "urllib", "urlopen urlretrieve build_opener"),
    **_each(_NETWORK, "http", "HTTPConnection HTTPSConnection"),
    **_each(_NETWORK, "aiohttp", "ClientSession request"),
    **_each(_NETWORK, "openai", "OpenAI AsyncOpenAI AzureOpenAI AsyncAzureOpenAI"),
    **_each(_NETWORK, "anthropic", "Anthropic AsyncAnthropic"),
    **_each(_NETWORK, "redis", "Redis StrictRedis RedisCluster from_url"),
    **_each(_NETWORK, "requests", "Session"),
    **_each(_DATABASE, "sqlite3", "connect Connection"),
    **_each(_DATABASE, "aiosqlite", "connect"),
    **_each(_DATABASE, "asyncpg", "connect create_pool"),
    **_each(_DATABASE, "psycopg", "connect Connection.connect AsyncConnection.connect"),
    **_each(_DATABASE, "sqlalchemy", "create_engine create_async_engine"),
}
for _library in ("httpx", "httpx2"):
    _RULES |= _each(
        _NETWORK, _library, "get post put patch delete head options request stream Client AsyncClient"
    )

# All functions and classes of these, but not their exceptions and constants.
_WHOLE_PACKAGES: dict[str, Rule] = {
    "boto3": _NETWORK,
    "ftplib": _NETWORK,
    "glob": _FILE,
    "multiprocessing": _PROCESS,
    "requests": _NETWORK,
    "secrets": _SECRET,
    "shutil": _FILE,
    "smtplib": _NETWORK,
    "socket": _NETWORK,
    "subprocess": _PROCESS,
    "tempfile": _FILE,
    "thread": _THREAD,
    "urllib3": _NETWORK,
}

# Without an argument they take the time, or a seed, from the machine.
_WITHOUT_ARGUMENTS: dict[Name, Rule] = {
    **_each(_TIME, "time", "gmtime localtime ctime asctime"),
    **_each(_RANDOM, "random", "Random"),
}

# Methods that mean the same on whatever has them.
_METHODS: dict[str, Rule] = {"run_in_executor": _THREAD}

# The modules in which some of them are really defined.
_HOMES = {"posix": "os", "nt": "os"}

_DESCRIPTORS = (MethodDescriptorType, ClassMethodDescriptorType)
_NAMED = (
    type,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    *_DESCRIPTORS,
)


def rule_for(value: object, written: Iterable[Name], *, without_arguments: bool = False) -> Rule | None:
    """The rule for a function, class or object that code mentions.

    Args:
        value: what is mentioned.
        written: the names by which the code came to it.
        without_arguments: it is called so.
    """
    if _is_shared_generator(value):
        return _RANDOM
    names = [*names_of(value), *written]
    for name in names:
        if name in _RULES:
            return _RULES[name]
        if without_arguments and name in _WITHOUT_ARGUMENTS:
            return _WITHOUT_ARGUMENTS[name]
    return _WHOLE_PACKAGES.get(names[0][0]) if names and _acts(value) else None


def rule_for_unloaded(module: str, attributes: Sequence[str]) -> Rule | None:
    """The rule for what a function will import when it is called."""
    package = module.partition(".")[0]
    if not attributes:
        return None
    return _RULES.get((package, attributes[-1])) or _WHOLE_PACKAGES.get(package)


def rule_for_method(name: str) -> Rule | None:
    """The rule for a method of who knows what."""
    return _METHODS.get(name)


def names_of(value: object) -> list[Name]:
    """The names by which Python knows a function, a class or an object's class, wherever it came from."""
    if isinstance(value, ModuleType):
        return []
    if isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, type):
        return [member(base, value.__name__) for base in value.__self__.__mro__]
    if not isinstance(value, _NAMED):
        value = type(value)
    home = value.__objclass__ if isinstance(value, _DESCRIPTORS) else value
    return [(package_of(home.__module__ or ""), value.__qualname__)]


def member(kind: type, name: str) -> Name:
    """The name of what a class has under ``name``."""
    return package_of(kind.__module__), f"{kind.__qualname__}.{name}"


def package_of(module: str) -> str:
    """The top-level package of a module, without the underscore of one that is written in C."""
    top = module.partition(".")[0]
    return _HOMES.get(top, top.lstrip("_"))


def _is_shared_generator(value: object) -> bool:
    """`random.choice` and its like are methods of one generator, which all runs share."""
    if isinstance(value, (MethodType, BuiltinFunctionType)):
        value = value.__self__
    return isinstance(value, random.Random)


def _acts(value: object) -> bool:
    if isinstance(value, type):
        return not issubclass(value, BaseException)
    return isinstance(value, (FunctionType, BuiltinFunctionType, MethodType))
