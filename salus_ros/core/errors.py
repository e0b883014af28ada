"""Every error that SALUS raises on purpose.

A message says what was given, what is allowed and what to do about it, so that the
command line and the nodes can print it as it is, without a traceback.
"""


class SalusError(Exception):
    """Base of all errors that a user can act on."""


class ConfigError(SalusError):
    """A parameter or an argument is outside what is allowed."""


class ObservationError(SalusError):
    """An image, a joint state or an action is not of the expected form.

    Attributes:
        cause: The same without the numbers of one message ("no whole picture"), so that many
            that are refused for one reason can be counted as one.
    """

    def __init__(self, text: str, cause: str = "") -> None:
        """With a text that may be shown, and its cause where that is not the text itself."""
        super().__init__(text)
        self.cause = cause or text


class PolicyError(SalusError):
    """A policy folder cannot be loaded, or does not fit the world it is run in."""


class CheckpointError(SalusError):
    """A predictor checkpoint cannot be loaded, or does not fit its inputs."""


class StoreError(SalusError):
    """An episode store cannot be opened, read or written."""


class SimulatorError(SalusError):
    """The simulated world cannot be built or rendered on this machine."""


class RecoveryError(SalusError):
    """A recovery behaviour cannot go on, so that the arm is held."""
