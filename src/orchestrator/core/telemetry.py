"""What the service tells about itself: structured logs, Prometheus metrics, OpenTelemetry traces."""

from __future__ import annotations

import logging
import re
import socket
import sys
from contextlib import contextmanager
from functools import partial
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

from orchestrator.core.listening import cannot_listen, is_loopback, is_loopback_host
from orchestrator.core.redaction import Redactor, is_secret_log_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from opentelemetry.sdk.trace import TracerProvider
    from structlog.typing import EventDict, Processor, WrappedLogger

    from orchestrator.core.settings import TelemetrySettings

NOT_FOR_WATCHERS = frozenset({"request_id", "trace_id", "logger"})
SAID_OF_CALLS = NOT_FOR_WATCHERS | {
    *("event", "level", "timestamp", "function", "user_id", "execution_time_ms")
}
# Of terminals, of lines, and of the direction of writing; tracebacks have lines of their own.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WORKFLOW_BUCKETS_S = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400)


def configure_logging(
    settings: TelemetrySettings, stream: TextIO | None = None, *, secrets: Iterable[str] = ()
) -> None:
    """Send our own and the libraries' log lines to ``stream`` (standard error), secrets blackened.

    ``secrets`` are those known by value; others are known by the name of their field or by their looks.

    Ours appear from ``log_level`` on, the libraries' from warning on, since at lower levels some of them
    log bodies.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacting(secrets),
    ]
    handler = _Lines(stream)
    renderers = _renderers(settings, handler.stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.getLogger().handlers = [handler]
    logging.getLogger().setLevel(max(level, logging.WARNING))
    logging.getLogger("orchestrator").setLevel(level)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_OurLoggers(handler),
        cache_logger_on_first_use=False,
    )


class _Lines(logging.StreamHandler[TextIO]):
    """Writes whole lines to a stream, by default to what standard error is at that moment.

    A stream kept from before may be closed by now.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._follows_standard_error = stream is None
        super().__init__(stream)

    def emit(self, record: logging.LogRecord) -> None:
        self._look()
        super().emit(record)

    def write(self, line: str) -> None:
        """Write a line; that nobody reads any more is no reason to fail."""
        self.acquire()
        try:
            self._look()
            self.stream.write(f"{line}\n")
            self.stream.flush()
        except (OSError, ValueError):
            return
        finally:
            self.release()

    def _look(self) -> None:
        if self._follows_standard_error:
            self.stream = sys.stderr


class _OurLoggers:
    """Makes the loggers of our own modules. The standard library's would double what a line costs."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])

    def __call__(self, *name: str) -> _OurLogger:
        return _OurLogger(name[0] if name else self._named().name, self._lines.write)


class _OurLogger:
    """Writes lines that are ready, whatever their level: structlog has left out those below ours."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = write


def _redacting(secrets: Iterable[str]) -> Processor:
    """Blackens secrets, by their values, names and looks, at any depth."""
    redactor = Redactor(secrets, is_secret=is_secret_log_field)

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return redactor.fields(event)

    return redact


def _renderers(settings: TelemetrySettings, stream: TextIO) -> list[Processor]:
    if settings.log_format == "json":
        return [structlog.processors.JSONRenderer(ensure_ascii=False)]
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    return [_harmless, console] if settings.log_level == "debug" else [_brief, _harmless, console]


def _brief(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What people want to see while they watch: a request or a call in one short line, and no ids."""
    if event["event"] == "request" and "duration_ms" in event:
        return {"event": "{method} {path} {status} {duration_ms:.0f} ms".format_map(event)}
    if event["event"] == "function called":
        said = "{function} by {user_id}, {execution_time_ms} ms".format_map(event)
        return {"event": said} | {name: value for name, value in event.items() if name not in SAID_OF_CALLS}
    return {name: value for name, value in event.items() if name not in NOT_FOR_WATCHERS}


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Control characters written out: what strangers send says nothing to somebody's terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], value)
    return event


class Metrics:
    """Prometheus metrics in a registry of their own, so that one process can hold several services."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, registry=self.registry)

        self.workflows_total = counter(
            "orchestrator_workflows_total", "Workflow runs that ended, by how.", ["workflow", "status"]
        )
        self.workflows_duration = seconds(
            "orchestrator_workflows_duration_seconds",
            "From a workflow run's start to its end.",
            ["workflow"],
            buckets=WORKFLOW_BUCKETS_S,
        )
        self.workflows_active = gauge("orchestrator_workflows_active", "Workflow runs that have not ended.")
        self.requests_total = counter(
            "orchestrator_api_requests_total", "Requests answered.", ["method", "route", "status"]
        )
        self.request_duration = seconds(
            "orchestrator_api_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_S,
        )
        self.agent_calls_total = counter(
            "orchestrator_agent_calls_total",
            "Calls of remote agents, by how they ended.",
            ["agent", "outcome"],
        )
        self.agent_call_duration = seconds(
            "orchestrator_agent_call_duration_seconds",
            "From the beginning of an agent's call to its end, all attempts and waits included.",
            ["agent"],
            buckets=REQUEST_BUCKETS_S,
        )
        self.agent_timeouts_total = counter(
            "orchestrator_agent_timeouts_total", "Attempts that an agent did not answer in time.", ["agent"]
        )
        self.agent_circuit_open = gauge(
            "orchestrator_agent_circuit_open",
            "1 while an agent that kept failing is left alone or probed, else 0.",
            ["agent"],
        )
        self.agent_signals_total = counter(
            "orchestrator_agent_signals_total",
            "Signals of agents, by where they came from: cache, confirmed, agent, or missing.",
            ["agent", "source"],
        )

    def workflow_ended(self, workflow: str, status: str, duration_s: float) -> None:
        """Count a run of ``workflow`` that ended as ``status`` after ``duration_s`` seconds."""
        self.workflows_total.labels(workflow, status).inc()
        self.workflows_duration.labels(workflow).observe(duration_s)

    def request_answered(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a request that ``route`` (a template, never a path with ids) answered with ``status``."""
        self.requests_total.labels(method, route, str(status)).inc()
        self.request_duration.labels(method, route).observe(duration_s)

    def agent_called(self, agent: str, outcome: str, duration_s: float) -> None:
        """Count a call of ``agent`` that ended as ``outcome`` after ``duration_s`` seconds."""
        self.agent_calls_total.labels(agent, outcome).inc()
        self.agent_call_duration.labels(agent).observe(duration_s)

    def agent_timed_out(self, agent: str) -> None:
        """Count an attempt that ``agent`` did not answer in time."""
        self.agent_timeouts_total.labels(agent).inc()

    def agent_circuit(self, agent: str, *, is_open: bool) -> None:
        """Show whether ``agent`` is left alone."""
        self.agent_circuit_open.labels(agent).set(is_open)

    def signal_served(self, agent: str, source: str) -> None:
        """Count a signal of ``agent``: cache and confirmed are hits, agent is a miss."""
        self.agent_signals_total.labels(agent, source).inc()


@contextmanager
def served_metrics(metrics: Metrics, host: str, port: int) -> Iterator[int]:
    """Serve ``metrics`` under ``/metrics`` on a thread of its own while inside; gives the port.

    On a loopback address only callers are answered that call this machine by a loopback name, as in dev mode
    on every other port. On any other address whoever reaches the port may read them: Prometheus calls it by
    all kinds of names.

    Raises:
        ConflictError: Another program has the port.
        SettingsError: The address cannot be listened on for another reason.
    """
    try:
        app = make_wsgi_app(metrics.registry)
        server = _MetricsServer(host, port, _for_loopback(app) if is_loopback_host(host) else app)
    except OSError as error:
        raise cannot_listen(error, host, port, "server.metrics_port") from error
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _for_loopback(app: WSGIApplication) -> WSGIApplication:
    """``app`` behind the Host check: else pages on a foreign name that resolves here could read it."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_loopback(environ.get("HTTP_HOST", "")):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Metrics are answered on this machine alone: ask localhost or 127.0.0.1.\n"]

    return guarded


class _MetricsServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _QuietHandler)
        self.set_app(app)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Leave standard error to the log."""


def tracer_provider(settings: TelemetrySettings) -> TracerProvider | None:
    """What makes and sends spans, or None while tracing is off; ``shutdown()`` sends what is left."""
    if not settings.enabled:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = {
        "service.name": settings.service_name,
        "deployment.environment.name": settings.environment,
    }
    provider = TracerProvider(
        resource=Resource.create(resource),
        sampler=ParentBasedTraceIdRatio(settings.sampling_rate),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_endpoint)))
    return provider
