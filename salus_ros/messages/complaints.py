"""What could not be used, counted by its cause, so that many messages give one line."""

from dataclasses import dataclass, field

from salus_ros.core.errors import ObservationError


@dataclass(slots=True)
class _Case:
    count: int
    example: str


@dataclass(slots=True)
class Complaints:
    """Counts refused messages by what they were of and why; the first of each is the example."""

    _cases: dict[tuple[str, str], _Case] = field(default_factory=dict)

    def add(self, name: str, error: ObservationError, count: int = 1) -> None:
        """Count messages of a stream or topic that were refused for one reason."""
        case = self._cases.setdefault((name, error.cause), _Case(0, str(error)))
        case.count += count

    def count(self, name: str) -> int:
        """Number of messages of a stream or topic that were refused."""
        return sum(case.count for (of, _), case in self._cases.items() if of == name)

    def lines(self) -> list[str]:
        """One line a stream and cause, in the order they were first met."""
        return [
            f"{name}: {case.count} {'message' if case.count == 1 else 'messages'} cannot be used: "
            + (
                case.example
                if case.count == 1 or case.example == cause
                else f"{cause}; the first one: {case.example}"
            )
            for (name, cause), case in self._cases.items()
        ]
