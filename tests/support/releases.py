"""A later release of our own code, to be deployed beside this one."""

from __future__ import annotations

import shutil
from pathlib import Path

import orchestrator

LESSONS = "orchestrator/features/lessons"
REVIEWED = "Reviewed. "
"""How the summaries of its lessons begin."""

WORKFLOW = '''

@workflow(name="lesson", version=2)
async def reviewed_lesson(ctx: Context, request: LessonRequest) -> Lesson:
    """Make a lesson, and have it reviewed."""
    return await ctx.run(LessonSteps.review_lesson, await lesson.function(ctx, request))
'''
STEP = f'''
    @step(name="review-lesson")
    async def review_lesson(self, lesson: Lesson) -> Lesson:
        """Say that it was read."""
        return lesson.model_copy(update={{"summary": "{REVIEWED}" + lesson.summary}})

    def _same_kind_of_writer('''


def later_release(folder: Path) -> Path:
    """A directory with code that makes new lessons by version 2 of their workflow, with a step more.

    Lessons that version 1 began go on as they were.
    """
    code = folder / "later-release"
    shutil.copytree(Path(orchestrator.__file__).parent, code / "orchestrator")
    lessons = code / LESSONS
    (lessons / "workflow.py").write_text((lessons / "workflow.py").read_text() + WORKFLOW)
    _change(lessons / "steps.py", "\n    def _same_kind_of_writer(", STEP)
    _change(lessons / "__init__.py", "workflow import lesson", "workflow import lesson, reviewed_lesson")
    _change(lessons / "__init__.py", "workflows=(lesson,)", "workflows=(lesson, reviewed_lesson)")
    _change(lessons / "service.py", "workflow import lesson", "workflow import lesson, reviewed_lesson")
    _change(lessons / "service.py", ".start(lesson, ", ".start(reviewed_lesson, ")
    return code


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has changed: {old!r} is not there once"
    file.write_text(text.replace(old, new))
