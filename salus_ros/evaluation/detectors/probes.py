"""Detectors that learn from successes and failures whether an episode will fail."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from salus_ros.evaluation.detectors.detector import Score, early_auroc, failed
from salus_ros.evaluation.detectors.learning import class_weights, minimise, perceptron, seeded
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.training.dataset import Samples

MLP_DECAYS = (1e-3, 1e-2, 1e-1)
"""Weights of the squared weights that SAFE-MLP chooses from."""

EPISODES_AT_ONCE = 64


class SafeMLP:
    """Score s_t = sum over the replans so far of sigmoid(MLP(e)), with 256 hidden units.

    SAFE (Gu et al. 2025, arXiv 2506.09937): the loss is the sum over replans of s_t for a
    success and of t - s_t for a failure, each class weighted inversely to its size, with an L2
    penalty. Here the held-back episodes choose the penalty and the epoch; full batches, Adam.

    Args:
        epochs: Most gradient steps.
    """

    name = "safe_mlp"
    needs_failures = True

    def __init__(self, epochs: int = 300) -> None:
        self.epochs = epochs
        self._reading = Reading("embedding")

    def missing(self, samples: Samples) -> str:
        """Ask for the hidden state."""
        return self._reading.missing(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train with each penalty; keep the one that tells the held-back episodes best."""
        inputs = self._reading.fit(samples, train)
        part = samples.subset(validation)
        learn, check = self._sums(samples.subset(train)), self._sums(part)
        best = -1.0
        for decay in MLP_DECAYS:
            with seeded(seed):
                model = perceptron([inputs, 256, 1])
                _fit_sums(model, learn, check, self.epochs, decay)
            figure = early_auroc(self._score(model, part), part)
            if decay == MLP_DECAYS[0] or figure > best:
                best, self._model = figure, model

    def score(self, samples: Samples) -> Score:
        """The running sum."""
        return self._score(self._model, samples)

    def _score(self, model: nn.Module, samples: Samples) -> Score:
        inputs, replans = self._reading(samples)
        with torch.inference_mode():
            values = torch.sigmoid(model(torch.from_numpy(inputs)))[:, 0].numpy()
        return replans.hold(replans.running_sum(values))

    def _sums(self, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (M, F), failure (M,) and weight (M,) of the usable replans.

        The value of replan n of T is part of T - n sums, which is its weight.
        """
        inputs, replans = self._reading(samples)
        used = samples.usable[replans.rows]
        episode = replans.episode[used]
        left = np.searchsorted(episode, episode, side="right") - np.arange(len(episode))
        bad = failed(samples)
        weight = left * class_weights(bad)[episode]
        return (
            torch.from_numpy(inputs[used]),
            torch.from_numpy(bad[episode]),
            torch.from_numpy((weight / weight.sum()).astype(np.float32)),
        )


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
                lambda: float(self._loss(check)) if check else float("nan"),
                epochs=self.epochs,
                batch=32,
                learning_rate=self.learning_rate,
                patience=8,
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
                packed = pack_sequence(list(parts[some]), enforce_sorted=False)
                logits = self.model(packed, torch.from_numpy(tasks[some]))
                outputs = unpack_sequence(packed._replace(data=torch.sigmoid(logits)))
                values += [part.numpy() for part in outputs]
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
        packed = pack_sequence([rows for rows, _ in some], enforce_sorted=False)
        inputs, bad, weight = packed.data[:, :-2], packed.data[:, -2], packed.data[:, -1]
        tasks = torch.tensor([task for _, task in some])
        logits = self.model(packed._replace(data=inputs), tasks)
        return F.binary_cross_entropy_with_logits(logits, bad, weight)

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

    def forward(self, inputs: PackedSequence, tasks: Tensor) -> Tensor:
        """Logits (M,), in the order of the packed sequences; tasks int64 (B,), from 1."""
        state = None
        if self.first is not None:
            first = self.first(tasks)[None]  # (1, B, hidden)
            state = (first, torch.zeros_like(first))
        given = inputs._replace(data=F.dropout(inputs.data, self.dropout, self.training))
        outputs, _ = self.recurrent(given, state)
        logits: Tensor = self.head(F.dropout(outputs.data, self.dropout, self.training))
        return logits[:, 0]


def _fit_sums(
    model: nn.Module,
    learn: tuple[Tensor, Tensor, Tensor],
    check: tuple[Tensor, Tensor, Tensor],
    epochs: int,
    decay: float,
) -> None:
    """Fit SAFE-MLP to inputs, failures and weights."""

    def loss(inputs: Tensor, bad: Tensor, weight: Tensor) -> Tensor:
        values = torch.sigmoid(model(inputs))[:, 0]
        return (weight * torch.where(bad, 1.0 - values, values)).sum()

    def penalised(members: Tensor) -> Tensor:
        squares = [parameter.square().sum() for parameter in model.parameters()]
        return loss(*learn) + decay * torch.stack(squares).sum()

    minimise(
        model,
        penalised,
        1,
        lambda: float(loss(*check)) if len(check[0]) else float("nan"),
        epochs=epochs,
        batch=0,
        learning_rate=1e-3,
        patience=30,
    )


def _runs(episode: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """First place and length of each run of equal numbers."""
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    return starts, np.diff(starts, append=len(episode)).tolist()
