-- What tables at revision 0001 may hold. Moments are in UTC.
INSERT INTO lesson_sessions (id, owner, topic, metadata, created_at, runs, intent) VALUES
    ('019aa111-0000-7000-8000-000000000001', 'ann', 'Gezeiten – 潮汐 🌊', '{}', '2026-11-21 07:30:00.123456', 0, 'none'),
    ('019aa111-0000-7000-8000-000000000002', 'bob', 'It''s 100% "quoted"', '{"materials": [{"title": "Notes", "text": "a\nb \u0000 c"}]}', '2026-11-21 07:31:00.000000', 2, 'launch'),
    ('019aa111-0000-7000-8000-000000000003', 'ann', 'Gone soon', '{}', '1999-12-31 23:59:59.999999', 1, 'delete');
INSERT INTO lesson_spending (key, owner, session_id, tokens, day) VALUES
    ('run-1/step:1:a', 'ann', '019aa111-0000-7000-8000-000000000001', 507, '2026-11-21'),
    ('run-2/step:1:b', 'bob', 'of-a-session-that-is-gone', 2147483647, '2026-02-28');
