"""A model that words what our own agents ask it, through the provider of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from support import model_server

if TYPE_CHECKING:
    from support.model_server import Asked, Reply

ANSWERS: Final[dict[str, Any]] = {
    "CloAnswer": {
        "title": "Neural Network Fundamentals",
        "focus": "What a layer does.",
        "outcomes": ["Draw a network of two layers"],
    },
    "TaAnswer": {"practice": [{"task": "Code a perceptron", "minutes": 40}]},
    "SocraticAnswer": {"questions": ["What does the chain rule give you here?"]},
    "AlexAnswer": {
        "summary": "Networks learn from their error.",
        "key_ideas": ["Loss"],
        "misconceptions": ["Networks think"],
        "look_up": ["gradient descent"],
    },
    "PlanAnswer": {
        "title": "Neural Network Fundamentals",
        "description": "Deep dive into neural network architecture",
        "outcomes": ["Explain what a layer does"],
        "steps": [
            {"task": "Review basics", "minutes": 15},
            {"task": "Implement simple NN", "minutes": 30},
            {"task": "Test with data", "minutes": 30},
        ],
    },
}


def scripted(asked: Asked) -> Reply:
    """The answer to whichever agent asks."""
    return model_server.data(ANSWERS[asked.shape or ""])(asked)
