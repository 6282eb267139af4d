"""A table on the terminal, and the same as Markdown in `benchmarks/results/`."""

from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


class Table:
    """Rows of texts under a title."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.rows: list[Sequence[str]] = [list(columns)]

    def add(self, *cells: str) -> None:
        """One row."""
        self.rows.append(cells)

    def __str__(self) -> str:
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.rows[0]))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in self.rows
        ]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"

    def save(self, name: str) -> None:
        """Write it to `results/NAME.md`."""
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(str(self))
