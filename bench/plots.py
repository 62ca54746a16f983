"""Pictures of what benchmarks have found out, as SVG that is the same for the same numbers. It knows numbers and names only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Plot"]


class Plot(NamedTuple):
    """What stands around a picture. Drawing wants matplotlib, of the extra `bench`."""

    title: str
    across: str
    up: str

    def curves(self, curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
        """Draw one line for each name over logarithmic scales."""
        figure, axes = self._figure()
        for name, curve in curves.items():
            axes.plot(list(curve), list(curve.values()), marker="o", label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(sorted({size for curve in curves.values() for size in curve}))
        axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
        axes.yaxis.set_major_formatter(lambda us, _: f"{us:g}")
        axes.yaxis.set_minor_formatter(lambda us, _: f"{us:g}" if f"{us:g}"[0] in "25" else "")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize="small")
        self._save(figure, path)

    def bars(self, groups: Mapping[str, Mapping[str, float]], path: Path) -> None:
        """Draw one group of lying bars for each outer name, a bar for each inner one, and a line at 1."""
        figure, axes = self._figure(height=0.8 + 0.22 * sum(len(group) + 1 for group in groups.values()))
        place, ticks = 0.0, []
        names = list(dict.fromkeys(name for group in groups.values() for name in group))
        for outer, group in groups.items():
            ticks.append((place + (len(group) - 1) / 2, outer))
            for inner, value in group.items():
                axes.barh(place, value, color=f"C{names.index(inner)}", label=inner if outer == next(iter(groups)) else None)
                axes.text(value, place, f" {value:.2f}", va="center", fontsize="x-small")
                place += 1
            place += 1
        axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.legend(fontsize="small")
        self._save(figure, path)

    def _figure(self, height: float = 4.2) -> tuple[Any, Any]:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set(title=self.title, xlabel=self.across, ylabel=self.up)
        return figure, axes

    @staticmethod
    def _save(figure: Any, path: Path) -> None:
        from matplotlib import rc_context

        with rc_context({"svg.hashsalt": "redisorm", "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None})
