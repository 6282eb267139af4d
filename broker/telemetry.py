"""Metrics, in Prometheus's text format.

Where `PROMETHEUS_MULTIPROC_DIR` is set when this is first imported, the workers put their numbers together there.
"""

import os
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_REQUESTS = Counter("sojourn_requests_total", "Requests answered", ["face", "action", "code"])
_SECONDS = Histogram(
    "sojourn_request_seconds",
    "Time from the request's head to its answer",
    ["face"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
SESSIONS_MINTED = Counter("sojourn_sessions_minted_total", "Sessions minted", ["kind"])
DECISIONS = Counter("sojourn_decisions_total", "Decisions given to others", ["door", "decision"])
CONFIGURATION_LOADED = Gauge(
    "sojourn_configuration_loaded_timestamp_seconds",
    "When the configuration in force was loaded",
    multiprocess_mode="max",
)
CONFIGURATION_REFUSED = Counter("sojourn_configuration_refused_total", "Reloads refused for faults")
_MASTER_KEY = Gauge(
    "sojourn_master_key",
    "Master keys: 1 beside what each is to this gateway",
    ["master_key", "status"],
    multiprocess_mode="mostrecent",
)
_SEALED_VALUES = Gauge(
    "sojourn_sealed_values",
    "Values in the store that are sealed under a master key, when they were last counted",
    ["master_key"],
    multiprocess_mode="mostrecent",
)
_LAST_SESSION_ENDS = Gauge(
    "sojourn_master_key_last_session_ends_timestamp_seconds",
    "When the last session derived from an old master key may end; 0 where none is left",
    ["master_key"],
    multiprocess_mode="mostrecent",
)
LOOP_LAG = Histogram(
    "sojourn_event_loop_lag_seconds",
    "How late the event loop woke a sleeper",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)

_requests = lru_cache(maxsize=1024)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=64)(_SECONDS.labels)


def answered(face: str, action: str, code: str, seconds: float) -> None:
    """Count one answered request. `action` must come from a table of ours, never from the caller."""
    _requests(face, action, code).inc()
    _seconds(face).observe(seconds)


def master_key(
    master_id: str, status: str, *, held: bool = True, sealed_values: int = 0, last_session_ends: float = 0
) -> None:
    """How it stands with a master key. `held`: False takes back that it has the status."""
    _MASTER_KEY.labels(master_id, status).set(1 if held else 0)
    _SEALED_VALUES.labels(master_id).set(sealed_values)
    _LAST_SESSION_ENDS.labels(master_id).set(last_session_ends)


def metrics() -> bytes:
    """The metrics of all workers, in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
