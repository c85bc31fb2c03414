"""The weeks of a curriculum that everybody goes through: what each of their five days is about.

Nothing here claims anything about a topic. The fifth day of a week recalls the other four: recalling keeps.
"""

from __future__ import annotations

from typing import Final

from orchestrator.features.days.agents.units import Stage, Task, Unit, looking_back

FOUNDATIONS: Final = Stage(
    name="foundations",
    units=(
        Unit(
            title="the lay of the land",
            aim="See what {topic} covers, and where your goal lies in it.",
            outcomes=(
                "Say in three sentences what {topic} is about",
                "Name its main parts, and what each of them is for",
                "Point to the parts that {goal} needs",
            ),
            tasks=(
                Task("Skim one overview of {topic}, such as an encyclopedia article, and list its parts", 4),
                Task("Draw the parts as a map: a word for each, and lines where they belong together", 3),
                Task("Mark on the map what {goal} needs first, and what can wait", 2),
            ),
        ),
        Unit(
            title="core vocabulary",
            aim="Learn the words without which one can read little about {topic}.",
            outcomes=(
                "Define the most important terms of {topic} in your own words",
                "Tell apart the two of them that are most easily confused",
            ),
            tasks=(
                Task("Collect about ten terms of {topic} that two of your sources both use", 3),
                Task("Make a card for each: the term, your own definition, and one example", 4),
                Task("Cover the definitions, say them aloud, and mark the cards that did not come", 3),
            ),
        ),
        Unit(
            title="a first worked example",
            aim="Follow one example of {topic} from its beginning to its end.",
            outcomes=(
                "Retell one example of {topic} step by step",
                "Say why each step is there",
            ),
            tasks=(
                Task("Find one worked example of {topic}, and go through it once without stopping", 3),
                Task("Go through it again, and write beside each step why it is there", 4),
                Task("Put it away, and build it up again from memory", 4),
            ),
        ),
        Unit(
            title="a first exercise",
            aim="Do something of {topic} yourself, small enough to check.",
            outcomes=(
                "Do one small exercise on {topic} without help",
                "Say where you got stuck, and why",
            ),
            tasks=(
                Task("Choose a small exercise on {topic} whose solution you can look up", 1),
                Task("Do it without help, and mark every place where you have to stop and think", 5),
                Task("Compare with the solution, then do the part that went wrong once more", 4),
            ),
        ),
        looking_back(
            "the foundations",
            "Find out what has stayed of the first steps into {topic}.",
            "Explain {topic} aloud for two minutes as if to a beginner, and note where you slow down",
        ),
    ),
    stretch="Take a second source on the same matter, and note where it says something else",
)

HOW_IT_WORKS: Final = Stage(
    name="how it works",
    units=(
        Unit(
            title="how the parts work together",
            aim="Go from knowing the parts of {topic} to seeing what they do to each other.",
            outcomes=(
                "Say for each main part of {topic} what it needs and what it gives",
                "Predict what would happen if one part were missing",
            ),
            tasks=(
                Task("Take your map of {topic}, and write on every line what one part does to the other", 4),
                Task("Look up the two lines of which you are least sure", 3),
                Task("Cross out one part, and write down what would then go wrong", 3),
            ),
        ),
        Unit(
            title="the ideas behind it",
            aim="Find the few ideas from which much of {topic} follows.",
            outcomes=(
                "State three leading ideas of {topic} in your own words",
                "Give an example for each, and one where it seems not to hold",
            ),
            tasks=(
                Task("Find three ideas or rules that your sources on {topic} come back to", 3),
                Task("Write each in one sentence of your own, with an example", 4),
                Task("Look for a case where one of them seems not to hold, and find out why", 3),
            ),
        ),
        Unit(
            title="a worked example with a twist",
            aim="See what changes in an example when one thing in it changes.",
            outcomes=(
                "Foresee what a change at the beginning does to the end",
                "Say which steps stay the same, and why",
            ),
            tasks=(
                Task("Take the worked example of {topic} that you know best, and change one thing in it", 1),
                Task("Write down first what you expect to happen, then work it through", 5),
                Task("Where the result differs from what you expected, find the step that explains it", 3),
            ),
        ),
        Unit(
            title="practice with variations",
            aim="Do the same kind of exercise until the differences are what you notice.",
            outcomes=(
                "Do three exercises of one kind on {topic} without help",
                "Say in one sentence how that kind is done",
            ),
            tasks=(
                Task("Choose three exercises on {topic} of the same kind, from easy to hard", 1),
                Task("Do them one after the other, and check each before you begin the next", 6),
                Task("Write a recipe of at most five lines for this kind of exercise", 2),
            ),
        ),
        looking_back(
            "how it works",
            "Check that you can explain {topic}, and not only recognise it.",
            "Answer in writing: why does {topic} work the way it does, and not otherwise?",
        ),
    ),
    stretch="Explain one of the ideas with a drawing and no words, then check the drawing for gaps",
)

USING_IT: Final = Stage(
    name="using it",
    units=(
        Unit(
            title="typical problems",
            aim="Learn to see which problem you have before you solve it.",
            outcomes=(
                "Name the kinds of problems that come up most often in {topic}",
                "Tell from a description which kind it is",
            ),
            tasks=(
                Task("Collect six to ten problems or tasks of {topic} from exercises, forums or work", 3),
                Task("Sort them into kinds, and give each kind a name and a sign to know it by", 4),
                Task("Mark the kinds that you will meet on the way to {goal}", 2),
            ),
        ),
        Unit(
            title="choosing a method",
            aim="Know more than one way, and which one when.",
            outcomes=(
                "Name two ways to do the same thing in {topic}",
                "Say when you would choose which, and what it costs",
            ),
            tasks=(
                Task("Choose one kind of problem, and find two ways to deal with it", 3),
                Task("Try both on the same small case", 5),
                Task("Write down in a table what speaks for each, and when you would take it", 2),
            ),
        ),
        Unit(
            title="a case from start to end",
            aim="Follow a real case of {topic}, with all that examples leave out.",
            outcomes=(
                "Retell a real case of {topic}, and what was decided on the way",
                "Say what you would have done differently",
            ),
            tasks=(
                Task("Find a report of a real case of {topic}: a write-up, a case study, a recording", 2),
                Task("Stop before each decision in it, and write down what you would do", 5),
                Task("Compare with what was done, and note the reasons", 3),
            ),
        ),
        Unit(
            title="mixed practice",
            aim="Practise kinds of problems in a mix, so that you must choose each time.",
            outcomes=(
                "Recognise the kind of a problem without being told",
                "Solve two of different kinds without help",
            ),
            tasks=(
                Task("Take four problems of different kinds, in an order that you did not choose", 1),
                Task("For each, say first what kind it is, then work on it", 6),
                Task("Check them, and write down which kind you took for another", 2),
            ),
        ),
        looking_back(
            "using it",
            "See what you can do with {topic} by now, and what still needs help.",
            "List what you can do with {topic} that you could not a week ago, and what {goal} still asks for",
        ),
    ),
    stretch="Take one more case of the kind that went worst, and do it from start to end",
)

PROJECT: Final = Stage(
    name="a project",
    units=(
        Unit(
            title="a project plan",
            aim="Choose a small project that brings you closer to {goal}.",
            outcomes=(
                "Describe a project in three sentences: what, for whom, and how you know that it is done",
                "Name its riskiest part",
            ),
            tasks=(
                Task("Write down three small projects with {topic} that would bring you closer to {goal}", 2),
                Task("Choose the one that can be finished in a week, and say when it is done", 3),
                Task("Split it into five pieces, and mark the one that could fail", 3),
            ),
        ),
        Unit(
            title="a first version",
            aim="Make something that is bad and whole, rather than good and half.",
            outcomes=(
                "Show a first version of your project, however rough",
                "Say what it lacks",
            ),
            tasks=(
                Task("Begin with the piece that could fail, in its simplest form", 4),
                Task("Add just enough of the other pieces to make it whole", 4),
                Task("Write down what it lacks, the most important first", 1),
            ),
        ),
        Unit(
            title="testing it",
            aim="Find out where your project does not hold before others do.",
            outcomes=(
                "Say what you tested, and what came of it",
                "Name the one flaw to mend first",
            ),
            tasks=(
                Task("Write down how you would notice that your project is wrong: three checks", 2),
                Task("Carry the checks out, and note what comes of each", 5),
                Task("For the worst flaw, find out what in {topic} explains it", 3),
            ),
        ),
        Unit(
            title="improving it",
            aim="Mend what matters most, and leave the rest.",
            outcomes=(
                "Show one thing that is better than before, and how you know",
                "Say what you leave as it is, and why",
            ),
            tasks=(
                Task("Choose the one improvement that helps most", 1),
                Task("Make it", 6),
                Task("Carry out the same checks again, and compare", 3),
            ),
        ),
        Unit(
            title="showing it",
            aim="Show your project, and look back on what it taught you.",
            outcomes=(
                "Present your project in three minutes",
                "Say what it taught you about {topic}, and what comes next",
            ),
            tasks=(
                Task("Write a page about your project: the problem, what you did, what came of it", 4),
                Task("Present it aloud in three minutes, to somebody if you can", 2),
                Task("Write down what it taught you about {topic}, and how far it is now to {goal}", 3),
            ),
        ),
    ),
    stretch="Ask somebody to try your project or to read your page, and write down what puzzles them",
)
