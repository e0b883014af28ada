"""Predicting live, one step after the other."""

import math

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.prediction.extras import Extras
from salus_ros.prediction.predictor import Outputs, Prediction, Predictor
from salus_ros.prediction.steps import Library, make_steps


class PredictorStream:
    """Predicts step after step on B robots at once; what it remembers is of one episode each.

    To later steps, one that cannot be judged is one without any signal.

    Args:
        predictor: The predictor.
        streams: B.
    """

    def __init__(self, predictor: Predictor, streams: int = 1) -> None:
        self._predictor = predictor
        self._streams = streams
        self._width = len(predictor.checkpoint.signal_names)
        self._library = Library(predictor.device)
        self._steps = make_steps(predictor.model, self._library)
        self.reset()

    def reset(self) -> None:
        """Begin an episode: nothing of the last one remains."""
        self._memory = self._steps.start(self._streams)
        self._step = -1
        self._answer: Prediction | None = None

    def update(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None = None,
        step: int | None = None,
    ) -> Prediction:
        """Take in a step and predict.

        Args:
            signals: Float32 (B, S) or (S,); what is not valid may be anything.
            valid: Bool, same shape.
            extras: Those of `extras.EXTRAS` that there are, (B, W) or (W,) each.
            step: Step of the episode; by default the next. Steps that are passed over count as
                steps without any signal. The last one again gets the same answer, whatever its
                signals: it is repeated. An earlier one begins anew.

        Raises:
            ObservationError: if the step cannot be judged: the sizes differ from those of
                training, a value marked valid is not finite or is not once it is standardised, or
                the model's answer is not finite.
        """
        if signals.ndim == 1:  # numpy's atleast_2d takes three times as long
            signals, valid = signals[None], valid[None]
            extras = extras and {n: of if of.ndim > 1 else of[None] for n, of in extras.items()}
        step = self._step + 1 if step is None else step
        if step == self._step and self._answer is not None:
            return self._answer
        if step <= self._step:
            self.reset()
        missed = step - self._step - 1 if self._step >= 0 else step
        reach = self._predictor.model.reach
        for ago in range(min(missed, reach), 0, -1):
            nothing = np.zeros((self._streams, self._width), np.bool_)
            self._advance(nothing.astype(np.float32), nothing, None, step - ago)
        outputs = self._advance(signals, valid, extras, step)
        self._answer = self._predictor.decide(*outputs, np.logical_or.reduce(valid, axis=1))
        return self._answer

    def _advance(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None,
        step: int,
    ) -> Outputs:
        predictor = self._predictor
        features = predictor.checkpoint.features.apply(signals, valid, extras, step)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            outputs, memory = self._steps.advance(self._library.given(features), self._memory)
        logits, episode = predictor.shaped(self._library.told(outputs))
        # In a microsecond: no layer overflows and remembers it, no -inf reads as safe.
        told = episode[:, : len(predictor.checkpoint.episode_outputs)]
        squares = np.vdot(features, features) + np.vdot(logits, logits) + np.vdot(told, told)
        if not math.isfinite(squares):
            raise ObservationError(
                f"the model has no finite answer to signals {np.abs(features).max():.3g} standard "
                "deviations from those of training; check the policy",
                "signals to which the model has no finite answer",
            )
        self._memory, self._step, self._answer = memory, step, None
        return logits, episode
