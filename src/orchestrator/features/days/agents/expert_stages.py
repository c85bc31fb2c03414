"""The weeks of a curriculum for those who want to become experts: sources, teaching, and limits."""

from __future__ import annotations

from typing import Final

from orchestrator.features.days.agents.units import Stage, Task, Unit, looking_back

LIMITS: Final = Stage(
    name="its limits",
    units=(
        Unit(
            title="where things go wrong",
            aim="Learn where things go wrong with {topic}, and how one notices.",
            outcomes=(
                "Name three situations in which things go wrong with {topic}",
                "Say how one would notice in time",
            ),
            tasks=(
                Task("Look for failures: typical mistakes, criticism and open problems of {topic}", 4),
                Task("Describe three of them: what was expected, what happened, and why", 4),
                Task("For each, write down the first sign by which one could have noticed", 2),
            ),
        ),
        Unit(
            title="common misconceptions",
            aim="Find what is widely believed about {topic} and does not hold.",
            outcomes=(
                "Name two misconceptions about {topic}, and the evidence against them",
                "Say why people come to believe them",
            ),
            tasks=(
                Task("Collect misconceptions about {topic}, those that you once had included", 3),
                Task("Find the best evidence against two of them", 4),
                Task("Write for each why it is so easy to believe", 2),
            ),
        ),
        Unit(
            title="a hard case",
            aim="Work on a case that does not fit the rules.",
            outcomes=(
                "Say what makes the case hard",
                "Defend a way through it, with what it gives up",
            ),
            tasks=(
                Task("Find a case of {topic} on which experts disagree or failed", 2),
                Task("Work out your own way through it before you read theirs", 5),
                Task("Compare, and write down what each way gives up", 3),
            ),
        ),
        Unit(
            title="practice at the edge",
            aim="Practise where you still fail, not where it goes well.",
            outcomes=(
                "Do one exercise that was too hard a week ago",
                "Say exactly which step was missing before",
            ),
            tasks=(
                Task("Choose the exercise or the part of your project that went worst so far", 1),
                Task("Work on it in short tries, and change one thing each time", 6),
                Task("Write down which step was missing, and how you found it", 2),
            ),
        ),
        looking_back(
            "the limits",
            "Put together where things go wrong with {topic}, and why.",
            "Write half a page to somebody who thinks that {topic} is easy",
        ),
    ),
    stretch="Take one failure, and write down what would have to be true for it not to happen",
)

SOURCES: Final = Stage(
    name="the sources",
    units=(
        Unit(
            title="the primary sources",
            aim="Get to what the textbooks on {topic} quote.",
            outcomes=(
                "Name the works on {topic} that all others refer to",
                "Say what each of them changed",
            ),
            tasks=(
                Task("Follow the references of two good sources on {topic} until they meet", 4),
                Task("List the three works that come up most, with one line on each", 3),
                Task("Choose the one to read closely this week, and say why", 1),
            ),
        ),
        Unit(
            title="reading one source closely",
            aim="Read one source on {topic} as its critic would.",
            outcomes=(
                "State its claim, its evidence, and what it takes for granted",
                "Name its weakest point",
            ),
            tasks=(
                Task("Read its beginning and its end, and write its claim in one sentence", 2),
                Task("Read the part that carries the evidence, and mark each step of the argument", 5),
                Task("Write down what it takes for granted, and where you are not convinced", 3),
            ),
        ),
        Unit(
            title="a disagreement",
            aim="Understand both sides of a question on which those who know {topic} disagree.",
            outcomes=(
                "Put each side so that its supporters would agree",
                "Say what evidence would decide between them",
            ),
            tasks=(
                Task("Find two sources on {topic} that contradict each other", 3),
                Task("Write each side's best argument in five lines", 4),
                Task("Write down what one would have to find out to decide", 2),
            ),
        ),
        Unit(
            title="a position of your own",
            aim="Take a position on a question of {topic}, and give your reasons.",
            outcomes=(
                "Defend a position in one page",
                "Answer the best objection to it",
            ),
            tasks=(
                Task("Choose one open question of {topic}, and write down your answer", 2),
                Task("Give your reasons, each with where it comes from", 5),
                Task("Write the best objection that you can think of, and answer it", 3),
            ),
        ),
        looking_back(
            "the sources",
            "Put together what the sources of {topic} agree on, and what is open.",
            "Draw a line of time with the works you met, and what each answered to the one before",
        ),
    ),
    stretch="Look up one thing that a source quotes, and check that it says what is claimed",
)

TEACHING: Final = Stage(
    name="teaching it",
    units=(
        Unit(
            title="a lesson plan",
            aim="Prepare to teach a part of {topic}: it shows what you do not know yet.",
            outcomes=(
                "Say what your learner should be able to do, and how you would check it",
                "Put the steps towards it in an order",
            ),
            tasks=(
                Task("Choose one part of {topic} and one learner, real or imagined", 1),
                Task("Write down what that learner should be able to do, and how you would check it", 3),
                Task("Plan a lesson of twenty minutes towards it, in steps", 5),
            ),
        ),
        Unit(
            title="explanations without jargon",
            aim="Explain what is hard about {topic} in plain words, and still be right.",
            outcomes=(
                "Explain three terms of {topic} without using any other of its terms",
                "Say what each explanation leaves out",
            ),
            tasks=(
                Task("Choose the three terms of {topic} that are hardest to explain", 1),
                Task("Explain each in three plain sentences with an example from daily life", 5),
                Task("Write down what each explanation leaves out, and whether that may mislead", 3),
            ),
        ),
        Unit(
            title="exercises for others",
            aim="Make exercises that show whether somebody has understood.",
            outcomes=(
                "Make three exercises that cannot be solved by rote",
                "Say which mistake each of them brings to light",
            ),
            tasks=(
                Task("List the mistakes that learners of {topic} make, your own first", 2),
                Task("Make an exercise for each of three mistakes", 5),
                Task("Write the solutions, with the reason for each step", 3),
            ),
        ),
        Unit(
            title="teaching it",
            aim="Teach your lesson, to a person or to a recorder.",
            outcomes=(
                "Teach a part of {topic} in twenty minutes or less",
                "Name the moment at which it was hardest to follow",
            ),
            tasks=(
                Task("Teach your lesson to somebody, or aloud to a recorder", 5),
                Task("Ask what was unclear, or listen to yourself, and mark the places", 3),
                Task("Rewrite the explanation that worked least", 3),
            ),
        ),
        looking_back(
            "teaching it",
            "See what teaching has shown you about your own knowledge of {topic}.",
            "Write down the three questions about {topic} that you could not have answered a learner",
        ),
    ),
    stretch="Write the shortest text that would have saved you a day when you began",
)
