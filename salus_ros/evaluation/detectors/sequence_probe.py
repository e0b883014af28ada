"""Detectors that learn over the replans of an episode, by a recurrent network."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from salus_ros.evaluation.detectors.detector import Score, failed
from salus_ros.evaluation.detectors.learning import class_weights, minimise, perceptron, seeded
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.training.dataset import Samples

EPISODES_AT_ONCE = 64


class SequenceProbe:
    """Score = sigmoid(LSTM) at each replan, trained by cross-entropy at every replan.

    With the hidden state as its input and one layer of 256 this is SAFE-LSTM (Gu et al. 2025,
    arXiv 2506.09937). With the error and the magnitude of the chunks, a clock, a second layer and
    the task as the first state it is ActProbe (arXiv 2606.08508). Each class weighs the same; the
    held-back episodes choose the epoch.

    Args:
        name: Name of the detector.
        reading: Its inputs.
        hidden: Width of the recurrent layer.
        head: Widths of hidden layers after it.
        tasks: Whether the first state is learnt for each task; zeros for a new one.
        dropout: Probability on the inputs and after the recurrent layer.
        learning_rate: Of Adam.
        weight_decay: Weight of the squared weights.
        epochs: Most passes over the training episodes.
        early: Number of replans after which a replan counts half in the loss; all alike if None.
        patience: Epochs without a lower loss after which training ends.
    """

    needs_failures = True

    def __init__(
        self,
        name: str,
        reading: Reading,
        *,
        hidden: int = 256,
        head: tuple[int, ...] = (),
        tasks: bool = False,
        dropout: float = 0.0,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.0,
        epochs: int = 40,
        early: float | None = None,
        patience: int = 8,
    ) -> None:
        self.name = name
        self.hidden = hidden
        self.head = head
        self.tasks = tasks
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.early = early
        self.patience = patience
        self._reading = reading

    def missing(self, samples: Samples) -> str:
        """Ask for the inputs."""
        return self._reading.missing(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train."""
        inputs = self._reading.fit(samples, train)
        known = sorted({samples.records[place].meta.task for place in train})
        self._task_numbers = {task: number for number, task in enumerate(known, 1)}
        learn, check = self._sequences(samples, train), self._sequences(samples, validation)
        with seeded(seed):
            self.model = RecurrentProbe(
                inputs, self.hidden, self.head, len(known) if self.tasks else 0, self.dropout
            )
            minimise(
                self.model,
                lambda members: self._loss([learn[place] for place in members.tolist()]),
                len(learn),
                lambda: float(self._check_loss(check)) if check else float("nan"),
                epochs=self.epochs,
                batch=32,
                learning_rate=self.learning_rate,
                patience=self.patience,
                weight_decay=self.weight_decay,
            )

    def score(self, samples: Samples) -> Score:
        """The output at each replan, held until the next."""
        inputs, replans = self._reading(samples)
        starts, lengths = _runs(replans.episode)
        parts = torch.split(torch.from_numpy(inputs), lengths)
        tasks = self._numbers(samples)[replans.episode[starts]]
        values = [np.zeros(0, np.float32)]
        with torch.inference_mode():
            for start in range(0, len(parts), EPISODES_AT_ONCE):
                some = slice(start, start + EPISODES_AT_ONCE)
                logits = self.model(pad_sequence(list(parts[some])), torch.from_numpy(tasks[some]))
                outputs = zip(torch.sigmoid(logits).T, lengths[some], strict=True)
                values += [part[:length].numpy() for part, length in outputs]
        return replans.hold(np.concatenate(values))

    def _sequences(self, samples: Samples, places: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Of each episode: inputs, failure and weight of its usable replans (T, F + 2); task."""
        part = samples.subset(places)
        inputs, replans = self._reading(part)
        used = part.usable[replans.rows]
        number = np.arange(len(replans.rows)) - replans.first
        bad = failed(part)
        fading = 1.0 if self.early is None else 0.5 ** (number / self.early)
        weight = class_weights(bad)[replans.episode] * fading
        columns = np.column_stack((inputs, bad[replans.episode], weight)).astype(np.float32)
        starts, lengths = _runs(replans.episode[used])
        rows = torch.split(torch.from_numpy(columns[used]), lengths)
        tasks = self._numbers(part)[replans.episode[used][starts]]
        return list(zip(rows, tasks.tolist(), strict=True))

    def _loss(self, some: list[tuple[Tensor, int]]) -> Tensor:
        rows = pad_sequence([rows for rows, _ in some])  # (T, B, F + 2), with weight 0 at the end
        tasks = torch.tensor([task for _, task in some])
        logits = self.model(rows[..., :-2], tasks)
        bad, weight = rows[..., -2], rows[..., -1]
        total = F.binary_cross_entropy_with_logits(logits, bad, weight, reduction="sum")
        return total / sum(len(one) for one, _ in some)

    def _check_loss(self, held_back: list[tuple[Tensor, int]]) -> Tensor:
        """What the epoch is chosen by."""
        return self._loss(held_back)

    def _numbers(self, samples: Samples) -> NDArray[np.int64]:
        """Number of each episode's task, (E,); 0 for one that training lacked."""
        tasks = [self._task_numbers.get(record.meta.task, 0) for record in samples.records]
        return np.asarray(tasks, dtype=np.int64)


class RecurrentProbe(nn.Module):
    """LSTM with a perceptron on top; the first hidden state may depend on the task.

    Args:
        inputs: Inputs of a replan.
        hidden: Width of the recurrent layer.
        head: Hidden widths of the perceptron.
        tasks: Number of tasks with a first state of their own.
        dropout: Probability on inputs and on the outputs of the recurrent layer.
    """

    def __init__(
        self, inputs: int, hidden: int, head: Sequence[int], tasks: int, dropout: float
    ) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(inputs, hidden)
        self.head = perceptron([hidden, *head, 1])
        self.first = nn.Embedding(tasks + 1, hidden, padding_idx=0) if tasks else None
        self.dropout = dropout

    def forward(self, inputs: Tensor, tasks: Tensor) -> Tensor:
        """Logits (T, B) of sequences that begin together; nothing after a replan changes its own.

        Args:
            inputs: (T, B, F), of shorter sequences anything at the end.
            tasks: Int64 (B,), from 1.
        """
        state = None
        if self.first is not None:
            first = self.first(tasks)[None]  # (1, B, hidden)
            state = (first, torch.zeros_like(first))
        outputs, _ = self.recurrent(F.dropout(inputs, self.dropout, self.training), state)
        logits: Tensor = self.head(F.dropout(outputs, self.dropout, self.training))
        return logits[..., 0]


def actprobe(error: str = "chunk_error", magnitude: str = "chunk_magnitude") -> SequenceProbe:
    """ActProbe with about 24,000 parameters, given how its two figures are called."""
    return SequenceProbe(
        "actprobe",
        Reading(error, magnitude, "clock"),
        hidden=64,
        head=(96,),
        tasks=True,
        learning_rate=1e-3,
    )


def _runs(episode: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """First place and length of each run of equal numbers."""
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    return starts, np.diff(starts, append=len(episode)).tolist()
