"""A run's timers: known by the operation that asked for each, so that a replay can fire the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.durable.embedded.history import NEVER

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from orchestrator.durable.embedded.timers import Alarm, Alarms

# The key of the one deadline that no code asked for: when a cancelled run is ended by force.
END = ""


class RunTimers:
    """Timers of one run. ``due`` is told the key of each whose time has come."""

    __slots__ = ("_alarms", "_deadlines", "_due", "_keys", "_set", "_timers", "_unset")

    def __init__(self, alarms: Alarms, due: Callable[[str], None]) -> None:
        self._alarms = alarms
        self._due = due
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._deadlines: dict[str, float] = {}
        self._keys: dict[int, str] = {}
        self._unset: list[str] = []
        self._set: dict[str, Alarm] = {}

    def watch(self, key: str, timer: asyncio.TimerHandle) -> None:
        """Know ``timer`` by ``key``; its alarm is set by ``set_alarms``."""
        self._timers[key] = timer
        self._deadlines[key] = timer.when()
        self._keys[id(timer)] = key
        self._unset.append(key)

    def forget(self, timer: asyncio.TimerHandle) -> None:
        """It was cancelled."""
        key = self._keys.pop(id(timer), None)
        if key is not None:
            del self._timers[key], self._deadlines[key]
            self._call_off(key)

    def fire(self, key: str) -> asyncio.TimerHandle:
        """Take the timer out that is known by ``key``."""
        timer = self._timers.pop(key)
        del self._keys[id(timer)], self._deadlines[key]
        self._call_off(key)
        return timer

    def put_off(self, seconds: float) -> None:
        """Have all that are watched so far ring that much later; none has an alarm yet."""
        for key in self._deadlines:
            self._deadlines[key] += seconds

    def end_at(self, when: float) -> None:
        """Have ``due`` told of `END` at that time."""
        self._call_off(END)
        self._deadlines[END] = when
        self._unset.append(END)

    @property
    def ends_at(self) -> float:
        """When the run is to be ended by force, in seconds since 1970."""
        return self._deadlines.get(END, NEVER)

    def set_alarms(self) -> None:
        """Have those that were watched meanwhile ring."""
        if not self._unset:
            return
        unset, self._unset = self._unset, []
        for key in dict.fromkeys(unset):
            deadline = self._deadlines.get(key)
            if deadline is not None:
                self._set[key] = self._alarms.set(deadline, lambda key=key: self._due(key))  # type: ignore[misc]

    def call_off(self) -> None:
        """Have none of them ring."""
        for alarm in self._set.values():
            self._alarms.call_off(alarm)
        self._set.clear()

    def __contains__(self, key: str) -> bool:
        return key in self._timers

    @property
    def keys(self) -> list[str]:
        """Of all that have not fired."""
        return list(self._timers)

    @property
    def earliest(self) -> float:
        """When the next one is due, in seconds since 1970."""
        return min(self._deadlines.values(), default=NEVER)

    def _call_off(self, key: str) -> None:
        alarm = self._set.pop(key, None)
        if alarm is not None:
            self._alarms.call_off(alarm)
