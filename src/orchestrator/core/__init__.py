"""The ground floor: settings, errors, clock, ids, telemetry."""
