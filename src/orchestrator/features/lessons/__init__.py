"""Lessons: a topic goes in, an illustrated lesson comes out, watched live."""
