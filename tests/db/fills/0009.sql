-- What tables at revision 0009 may hold. Moments are in UTC.
INSERT INTO lesson_sessions (id, owner, topic, metadata, created_at, runs, intent, kept_run, ended_as, ended_at, kept) VALUES
    ('019aa111-0000-7000-8000-000000000001', 'ann', 'Never run', '{}', '2026-11-21 07:30:00.123456', 0, 'none', 0, NULL, NULL, NULL),
    ('019aa111-0000-7000-8000-000000000002', 'bob', 'Ended and kept', '{"materials": []}', '2026-11-21 07:31:00.000000', 2, 'none', 2, 'failed', '2026-11-21 07:32:00.500000', '{"steps": []}'),
    ('019aa111-0000-7000-8000-000000000003', 'ann', 'Runs again', '{}', '2026-11-21 07:33:00.000000', 3, 'launch', 2, 'completed', '2026-11-21 07:34:00.000000', '{"steps": []}');
INSERT INTO lesson_spending (key, owner, session_id, tokens, day) VALUES
    ('run-1/step:1:a', 'ann', '019aa111-0000-7000-8000-000000000001', 0, '2026-11-21');
INSERT INTO outbox (number, owner, id, type, data, at, traceparent) VALUES
    (7, 'ann', '019aa111-0000-7000-8000-00000000000a', 'lesson_created', '{"session_id": "019aa111-0000-7000-8000-000000000001"}', '2026-11-21 07:30:00.123456', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    (9007199254740993, 'bob', 'lesson_failed:019aa111', 'lesson_failed', '{"topic": "潮汐 \u0000"}', '2026-11-21 07:32:00.500000', NULL);
INSERT INTO idempotency_keys (id, owner, fingerprint, attempt, leased_until, expires_at, status, headers, body) VALUES
    ('aa0000000000000000000000000000000000000000000000000000000000000a', 'ann', 'bb0000000000000000000000000000000000000000000000000000000000000b', '019aa111-0000-7000-8000-00000000000b', '2026-11-21 07:31:10.123456', '2026-11-22 07:30:00.123456', NULL, NULL, NULL),
    ('aa0000000000000000000000000000000000000000000000000000000000000c', 'bob', 'bb0000000000000000000000000000000000000000000000000000000000000d', '019aa111-0000-7000-8000-00000000000d', '2026-11-21 07:31:10.123456', '2026-11-22 07:30:00.123456', 201, '{"content-type": "application/json"}', NULL);
INSERT INTO day_intents (id, owner, topic, depth, end_goal, time_per_day_min, track_label, user_tz, meta, active, created_at, active_at, next_week, next_day, ready_at, next_run_at) VALUES
    ('019aa111-0000-7000-8000-000000000011', 'ann', 'Alte Themen', 'surface', 'Früher', 20, NULL, 'UTC', '{}', FALSE, '2026-10-21 07:30:00.000000', '2026-10-21 07:30:00.000000', 1, 1, NULL, NULL),
    ('019aa111-0000-7000-8000-000000000012', 'ann', 'Machine Learning', 'informed', 'Build production ML models', 60, 'ML', 'America/New_York', '{"learning_style": "project-first"}', TRUE, '2026-11-21 07:30:00.123456', '2026-11-21 07:30:00.123456', 1, 2, '2026-11-21 07:30:00.123456', '2026-11-22 12:00:00.000000'),
    ('019aa111-0000-7000-8000-000000000013', 'bob', '潮汐', 'expert', 'Sail', 180, NULL, 'Asia/Kathmandu', '{}', TRUE, '2026-11-21 07:30:00.000000', '2026-11-21 07:30:00.000000', 1, 1, NULL, NULL);
INSERT INTO day_sessions (id, owner, intent_id, topic, week, day, planned_min, plan_title, plan_md, plan, written_by, signals_digest, signal_quality, degraded_mode, degraded_agents, cache_hits, cache_misses, run_id, created_at, completed_at, completed_tz, completion_time_min, confidence, notes, streak_days) VALUES
    ('019aa111-0000-7000-8000-000000000021', 'ann', '019aa111-0000-7000-8000-000000000012', 'Machine Learning', 1, 1, 60, 'Neural Network Fundamentals', '# Daily Learning Plan', '{"title": "Neural Network Fundamentals", "steps": ["Review basics"], "minutes": [60]}', 'instructor', 'ab12', '{"clo": {"available": true, "fresh": true}}', FALSE, '[]', 3, 1, 'day-1', '2026-11-21 07:31:00.000000', '2026-11-21 15:30:00.000000', 'America/New_York', 45, 7, 'Struggled with backpropagation', 1),
    ('019aa111-0000-7000-8000-000000000022', 'bob', '019aa111-0000-7000-8000-000000000013', '潮汐', 1, 1, 180, 'Tides', '# 潮汐', '{"title": "Tides"}', 'fallback', 'cd34', '{}', TRUE, '[{"agent": "ta", "code": "TIMEOUT"}]', 0, 0, 'day-2', '2026-11-21 07:31:00.000000', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO day_signals (owner, agent, key, data, etag, fetched_at, confirmed_at) VALUES
    ('ann', 'clo', 'aa00', '{"title": "Neural networks", "outcomes": []}', '"v1"', 1795246260.123456, 1795246270.5),
    ('bob', 'ta', 'bb00', '{}', NULL, 1795246260.0, 1795246260.0);
INSERT INTO api_keys (id, owner, name, sha256, scopes, created_at, created_by, expires_at, last_used_at, revoked_at) VALUES
    ('0123456789ab', 'ann', 'Ann''s script – 潮汐', 'cc0000000000000000000000000000000000000000000000000000000000000c', '["lessons"]', '2026-11-21 07:30:00.123456', 'operator', '2027-11-21 07:30:00.123456', '2026-11-21 08:00:00.000000', NULL),
    ('ba9876543210', '', 'Billing', 'dd0000000000000000000000000000000000000000000000000000000000000d', '["service"]', '2026-11-21 07:30:00.123456', 'key:0123456789ab', NULL, NULL, '2026-11-22 07:30:00.123456');
INSERT INTO audit_entries (id, at, action, who, person, subject, source, times, kept_until) VALUES
    ('019aa111-0000-7000-8000-0000000000a1', '2026-11-21 07:30:00.123456', 'lesson.delete', 'user:ann', 'ann', '019aa111-0000-7000-8000-000000000001', '127.0.0.1', 1, '2027-11-21 07:30:00.123456'),
    ('019aa111-0000-7000-8000-0000000000a2', '2026-11-21 07:31:00.000000', 'sign_in.refused', 'nobody', '', 'unauthorized', '2001:db8::/64', 4711, NULL);
INSERT INTO webhooks (id, owner, url, types, enabled, disabled_because, secret, old_secret, old_secret_until, created_at, worked_at) VALUES
    ('019aa111-0000-7000-8000-000000000041', 'ann', 'https://example.org/hooks', '["lesson_completed"]', TRUE, NULL, 'whsec_b3JkaW5hcnk=', NULL, NULL, '2026-11-21 07:30:00.123456', '2026-11-21 07:31:00.000000'),
    ('019aa111-0000-7000-8000-000000000042', 'bob', 'http://hooks.example:8443/?a=%C3%A4', '[]', FALSE, 'its receiver answered 410 Gone', 'sealed', 'sealed before', '2026-11-22 07:30:00.000000', '2026-11-21 07:30:00.000000', NULL);
INSERT INTO webhook_deliveries (id, owner, webhook_id, event_id, type, at, data, traceparent, state, runs, attempts, created_at) VALUES
    ('019aa111-0000-7000-8000-000000000051', 'ann', '019aa111-0000-7000-8000-000000000041', 'lesson_completed:1', 'lesson_completed', '2026-11-21 07:30:00.123456', '{"session_id": "019aa111"}', NULL, 'delivered', 2, '[{"at": "2026-11-21T07:30:01Z", "status": 204, "reason": null}]', '2026-11-21 07:30:00.500000'),
    ('019aa111-0000-7000-8000-000000000052', 'bob', '019aa111-0000-7000-8000-000000000042', '019aa111-0000-7000-8000-00000000000a', 'lesson_created', '2026-11-21 07:30:00.000000', '{}', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'pending', 1, '[]', '2026-11-21 07:30:00.000000');
