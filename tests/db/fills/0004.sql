-- What tables at revision 0004 may hold. Moments are in UTC.
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
