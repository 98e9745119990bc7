"""What a drill found: rounds and failures for each subject, and whether its control failed as it must."""

from __future__ import annotations

from collections import Counter


class Report:
    """Counts rounds. A drill passed when nothing was wrong, something was tried, and the control (if any) failed."""

    def __init__(self, drill: str) -> None:
        self.drill = drill
        self.wrong: list[str] = []
        self.figures: dict[str, float] = {}
        self._rounds: Counter[str] = Counter()
        self._control_rounds: Counter[str] = Counter()
        self._control_wrong: Counter[str] = Counter()

    def count(self, subject: str, wrong: str) -> None:
        """One round of *subject*; *wrong* says what was, or is empty."""
        self._rounds[subject] += 1
        if wrong:
            self.wrong.append(wrong)

    def count_control(self, subject: str, wrong: str) -> None:
        """One round of a program that is known to be careless: a harness that finds nothing there finds nothing."""
        self._control_rounds[subject] += 1
        self._control_wrong[subject] += bool(wrong)

    def add(self, figure: str, amount: float) -> None:
        """Add up a figure over the rounds."""
        self.figures[figure] = self.figures.get(figure, 0) + amount

    def most(self, figure: str, amount: float) -> None:
        """Keep the largest of a figure over the rounds."""
        self.figures[figure] = max(self.figures.get(figure, amount), amount)

    @property
    def passed(self) -> bool:
        blind = [subject for subject in self._control_rounds if not self._control_wrong[subject]]
        return bool(self._rounds) and not self.wrong and not blind

    def lines(self) -> list[str]:
        """The report for people."""
        rows = [f"{self.drill}: {subject}: {count} rounds" for subject, count in self._rounds.items()]
        rows += [
            f"{self.drill}: control {subject}: {self._control_wrong[subject]} of {count} rounds wrong (must be > 0)"
            for subject, count in self._control_rounds.items()
        ]
        rows += [f"{self.drill}: {name}: {value:g}" for name, value in self.figures.items()]
        rows += [f"{self.drill}: WRONG: {line}" for line in self.wrong[:20]]
        return [*rows, f"{self.drill}: {len(self.wrong)} wrong, {'passed' if self.passed else 'FAILED'}"]
