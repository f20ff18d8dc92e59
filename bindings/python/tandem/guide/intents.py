# SPDX-License-Identifier: Apache-2.0
"""What somebody wants, told from the vector of what they wrote.

A softmax regression over unit vectors, trained by gradient descent on labelled sentences. Its
accuracy is measured by cross-validation on those sentences, each judged by a classifier that has
not seen it, and is part of every answer: a few examples a label make a rough classifier, and it
says so."""
from __future__ import annotations

import dataclasses
from typing import Mapping, Sequence

import numpy as np

from ..errors import InvalidError
from ..pipeline import Pipeline
from . import context

FOLDS = 5
STEPS = 300
RATE = 4.0      # of gradient descent; the vectors are of length 1
DECAY = 1e-3    # pulls weights to zero, so that few examples do not lead to certainty

SUPPORT_EXAMPLES: Mapping[str, Sequence[str]] = {
    "account access": [
        "I forgot my password.", "How can I reset my login?", "My account is locked.",
        "I can't sign in on my phone.", "The verification code never arrives.",
        "It says my user name does not exist.", "How do I change the email I log in with?",
        "I lost the phone that I use for two-factor login.", "Please unlock my profile.",
        "The reset link has expired."],
    "billing": [
        "Why was I charged twice?", "Where can I find my invoice?", "My card was declined.",
        "I want to change my payment method.", "There is a fee that I do not recognise.",
        "Can you send me a receipt for last month?", "How much does the yearly plan cost?",
        "The discount was not applied to my bill.", "Do your prices include tax?",
        "When will you bill me next?"],
    "delivery": [
        "Where is my package?", "My order has not arrived yet.",
        "Can I change the shipping address?",
        "How long does delivery take?", "The tracking number does not work.",
        "The courier left the parcel with the wrong neighbour.", "Do you ship to Norway?",
        "I was not at home when they tried to deliver.", "Is express shipping possible?",
        "The parcel was damaged on the way."],
    "return": [
        "I want my money back.", "How do I return these shoes?", "The shirt does not fit me.",
        "Can I exchange it for a larger size?", "I got the wrong item.",
        "How long do I have to send something back?", "When will I get my refund?",
        "Do I have to pay for the return label?", "The product is not as described.",
        "I changed my mind about my purchase."],
    "technical problem": [
        "The app crashes when I open it.", "The page stays blank.", "I get an error 500.",
        "Nothing happens when I press the button.", "The update made everything slow.",
        "It does not work in Firefox.", "My device will not connect to the network.",
        "The screen freezes after a few minutes.", "Uploading a file fails every time.",
        "The sound stutters in videos."],
    "cancellation": [
        "I want to cancel my subscription.", "Please close my account.",
        "How do I end my contract?",
        "Stop the automatic renewal.", "I do not want to be a member any longer.",
        "Delete all of my data, please.", "Can I pause my plan instead of quitting?",
        "What is the notice period?", "Unsubscribe me.", "I would like to terminate the service."]}


@dataclasses.dataclass(frozen=True)
class Intent:
    """accuracy: of the classifier, by cross-validation, not of this answer."""
    label: str
    probability: float
    accuracy: float


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _fit(vectors: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Weights [H + 1, count]; the last row is the bias."""
    inputs = np.hstack([vectors, np.ones((len(vectors), 1), np.float32)])
    wanted = np.eye(count, dtype=np.float32)[classes]
    weights = np.zeros((inputs.shape[1], count), np.float32)
    for _ in range(STEPS):
        error = _softmax(inputs @ weights) - wanted
        weights -= RATE * (inputs.T @ error / len(inputs) + DECAY * weights)
    return weights


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


class IntentClassifier:
    """labels, and accuracy: the share of the examples that a classifier trained on the others
    labels rightly (5 folds, each label spread over all of them)."""

    def __init__(self, labels: Sequence[str], vectors: np.ndarray, classes: np.ndarray):
        self.labels = tuple(labels)
        self._vectors = _unit(vectors)
        self._weights = _fit(self._vectors, classes, len(self.labels))
        self.examples = len(classes)
        self.accuracy = self._cross_validate(classes)

    @classmethod
    def train(cls, examples: Mapping[str, Sequence[str]], pipeline: Pipeline | None = None):
        """From {label: sentences}, two labels at least and two sentences each. Blocks while they
        are embedded."""
        if len(examples) < 2:
            raise InvalidError(f"examples: {len(examples)} labels, expected at least 2")
        for label, texts in examples.items():
            if isinstance(texts, str) or len(texts) < 2:
                raise InvalidError(f"examples[{label!r}]: expected a list of at least 2 sentences")
        texts = [text for some in examples.values() for text in some]
        classes = np.repeat(np.arange(len(examples)), [len(some) for some in examples.values()])
        vectors = (pipeline or context.pipeline()).infer_sync(texts, priority="background")
        return cls(list(examples), vectors, classes)

    def _cross_validate(self, classes: np.ndarray) -> float:
        fold = np.empty(len(classes), int)
        for label in range(len(self.labels)):
            places = np.flatnonzero(classes == label)
            fold[places] = np.arange(len(places)) % FOLDS
        right = 0
        for k in range(FOLDS):
            is_left_out = fold == k
            weights = _fit(self._vectors[~is_left_out], classes[~is_left_out], len(self.labels))
            guesses = self._scores(self._vectors[is_left_out], weights).argmax(axis=1)
            right += int((guesses == classes[is_left_out]).sum())
        return right / len(classes)

    @staticmethod
    def _scores(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return vectors @ weights[:-1] + weights[-1]

    def classify(self, embedding: np.ndarray) -> Intent:
        """Of a vector [H]."""
        expected = self._vectors.shape[1]
        if not isinstance(embedding, np.ndarray) or embedding.shape != (expected,):
            shape = list(getattr(embedding, "shape", [])) or type(embedding).__name__
            raise InvalidError(f"embedding: {shape}, expected a vector [{expected}]")
        odds = _softmax(self._scores(_unit(embedding)[None], self._weights))[0]
        place = int(odds.argmax())
        return Intent(self.labels[place], float(odds[place]), self.accuracy)

    def __repr__(self) -> str:
        return (f"IntentClassifier({len(self.labels)} labels, {self.examples} examples, accuracy "
                f"{self.accuracy:.2f} by cross-validation)")


def classify_intent(embedding: np.ndarray, classifier: IntentClassifier | None = None) -> Intent:
    """The intent of a text by its vector. Without a classifier: one trained at first use, on what
    `use(intents=...)` gave, or on SUPPORT_EXAMPLES."""
    if classifier is None:
        classifier = context.made("intents", lambda: IntentClassifier.train(
            context.intents() or SUPPORT_EXAMPLES))
    return classifier.classify(embedding)
