"""Goals met and missed, and quality against time: goals.md and quality_time.png, of what the benchmarks wrote.

    python benchmarks/goals.py [--out results/benchmarks]

Nothing is measured here. A ratio is that of medians of the rounds that were taken in turn.
"""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import SECONDS, options
from inference import CEILING, KERAS
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from methods import BART, RATIO
from training import KEPT, STREAM

from csmri.core.names import BASELINES
from csmri.results.figures.pictures import BLACK, BLUE, GREY, ORANGE, PURPLE, WIDTH, new_figure

NETWORK = "csmri pretrained-unrolled"
QUESTIONS = ("inference", "training", "simulation", "methods", "growth", "startup")
RUNTIMES = ("csmri reconstruct, tensorflow", "csmri reconstruct, openvino")
PEERS = ("PyTorch", "OpenVINO", "ONNX Runtime")


@dataclass(frozen=True)
class Goal:
    """What was asked for and what was found."""

    about: str
    asked: str
    found: str
    is_met: bool | None
    """None where it was not measured."""


class Found:
    """Medians by case, contender and quantity, of one question."""

    def __init__(self, folder: Path, question: str) -> None:
        path = folder / f"{question}.csv"
        values: dict[tuple[str, str, str], list[float]] = {}
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    key = (row["case"], row["contender"], row["quantity"])
                    values.setdefault(key, []).append(float(row["value"]))
        self.medians = {key: statistics.median(found) for key, found in values.items()}
        about = folder / f"{question}.json"
        self.about: dict[str, Any] = json.loads(about.read_text()) if about.exists() else {}

    def cases(self) -> list[str]:
        return list(dict.fromkeys(case for case, *_ in self.medians))

    def get(self, case: str, contender: str, quantity: str = SECONDS) -> float | None:
        return self.medians.get((case, contender, quantity))

    def of_case(self, case: str, quantity: str = SECONDS) -> dict[str, float]:
        return {name: value for (c, name, q), value in self.medians.items() if (c, q) == (case, quantity)}


def at_most(about: str, asked: str, value: float | None, limit: float, told: str) -> Goal:
    """A goal that is met below a limit."""
    return Goal(about, asked, told if value is not None else "not measured", None if value is None else value <= limit)


def inference_goals(found: Found) -> Iterator[Goal]:
    ceiling = found.get("float32", CEILING, "GFLOP/s")
    for case in found.cases():
        seconds = found.of_case(case)
        if KERAS not in seconds:
            continue
        ours = {name: seconds[name] for name in RUNTIMES if name in seconds}
        fastest = min(ours, key=lambda name: ours[name])
        ratio = ours[RUNTIMES[0]] / seconds[KERAS]
        told = f"{ratio:.2f} ({1e3 * ours[RUNTIMES[0]]:.0f} of {1e3 * seconds[KERAS]:.0f} ms a frame)"
        yield at_most(f"U-net, {case}", "reconstruct in TensorFlow at most 1.10 of the bare graph", ratio, 1.1, told)
        if peers := {name: seconds[name] for name in PEERS if name in seconds}:
            best = min(peers, key=lambda name: peers[name])
            ratio = ours[fastest] / peers[best]
            told = f"{ratio:.2f} of {best}'s {1e3 * peers[best]:.0f} ms ({fastest.rpartition(', ')[2]})"
            yield at_most(f"U-net, {case}", "reconstruct at most 1.05 of the fastest peer", ratio, 1.05, told)
        work = found.get(case, KERAS, "GFLOP")
        if work and ceiling and case.startswith("64"):
            share = work / ours[fastest] / ceiling
            told = f"{share:.2f} of {ceiling:.0f} GFLOP/s ({fastest.rpartition(', ')[2]})"
            yield at_most(f"U-net, {case}", "reconstruct at least 0.90 of the matrix products", -share, -0.9, told)


def training_goals(found: Found) -> Iterator[Goal]:
    for case in found.cases():
        seconds = found.of_case(case)
        share = 1 - seconds[KEPT] / seconds[STREAM]
        told = f"{100 * share:.1f} % of {seconds[STREAM]:.2f} s"
        if peer := seconds.get("PyTorch"):
            told += f"; a frame takes {seconds[STREAM] / peer:.2f} of PyTorch's {peer:.2f} s"
        yield at_most(f"training, {case}", "the input pipeline below 5 % of a step", share, 0.05, told)


def simulation_goals(found: Found) -> Iterator[Goal]:
    for case in found.cases():
        seconds = found.of_case(case)
        bare = min(value for name, value in seconds.items() if name.startswith("two"))
        ratio = seconds["csmri simulation"] / bare
        told = f"{ratio:.1f} ({1e3 * seconds['csmri simulation']:.0f} of {1e3 * bare:.1f} ms)"
        yield at_most(f"simulation, {case}", "at most 3 of two bare transforms", ratio, 3, told)


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Those that nobody beats in both seconds and error."""
    return [
        name
        for name, (seconds, error) in points.items()
        if not any(s <= seconds and e <= error and (s, e) != (seconds, error) for s, e in points.values())
    ]


def points_of(found: Found, case: str) -> dict[str, tuple[float, float]]:
    """Seconds and error of everybody."""
    errors = found.of_case(case, RATIO)
    return {name: (seconds, errors[name]) for name, seconds in found.of_case(case).items() if name in errors}


def method_goals(found: Found) -> Iterator[Goal]:
    for case in found.cases():
        limit = 1.0 if case.startswith("1 coil") else 3.0
        points = points_of(found, case)
        if NETWORK not in points:
            continue
        seconds, error = points[NETWORK]
        yield at_most(
            f"the shipped network, {case}",
            f"at most {limit:g} s",
            seconds,
            limit,
            f"{seconds:.2f} s, error {error:.3f}",
        )
        on_front = NETWORK in front(points)
        yield Goal(
            f"the shipped network, {case}",
            "on the front of quality against time",
            ", ".join(front(points)),
            on_front,
        )


def growth_goals(found: Found) -> Iterator[Goal]:
    for case in found.cases():
        seconds, memory = found.of_case(case), found.of_case(case, "MB")
        one, three, ten = (seconds[f"{times} x"] for times in (1, 3, 10))
        ratio = memory["10 x"] / memory["1 x"]
        told = f"{ratio:.2f} ({memory['1 x']:.0f} to {memory['10 x']:.0f} MB)"
        yield at_most(f"growth, {case}", "memory at 10 x at most 1.10 of 1 x", ratio, 1.1, told)
        straight = one + 4.5 * (three - one)
        told = f"{ten:.1f} s, {ten / straight:.2f} of the line through 1 x and 3 x ({one:.1f}, {three:.1f} s)"
        yield at_most(f"growth, {case}", "time linear: at most 1.1 of the line", ten / straight, 1.1, told)


def startup_goals(found: Found) -> Iterator[Goal]:
    bare, helped = found.get("help", "python -c pass"), found.get("help", "csmri --help")
    if bare is not None and helped is not None:
        yield at_most("start-up", "help at most 0.3 s beyond Python", helped - bare, 0.3, f"{helped - bare:.2f} s")
    for case in found.cases():
        first = found.get(case, "csmri reconstruct")
        if first is not None:
            yield at_most("start-up", f"{case} from a cold start below 12 s", first, 12, f"{first:.1f} s")


GOALS: dict[str, Callable[[Found], Iterator[Goal]]] = dict(
    zip(
        QUESTIONS,
        (inference_goals, training_goals, simulation_goals, method_goals, growth_goals, startup_goals),
        strict=True,
    )
)


def table(goals: Sequence[Goal], found: dict[str, Found]) -> str:
    """Goals in Markdown, under them what they were measured with."""
    words = {True: "met", False: "**missed**", None: "not measured"}
    lines = ["| | goal | measured | |", "|---|---|---|---|"]
    lines += [f"| {one.about} | {one.asked} | {one.found} | {words[one.is_met]} |" for one in goals]
    for question, one in found.items():
        if not one.about:
            continue
        about = one.about
        libraries = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        lines += [
            "",
            f"**{question}**: `{about['command']}`, revision {about['revision'] or 'none'}, {about['threads']} threads "
            f"of {about['processor']['name']} ({about['processor']['vectors']}), instructions {about['isa']}, "
            f"load before {about['load_before']:g}; {libraries}"
            + "".join(f"; {name}: {reason}" for name, reason in about["skipped"].items()),
        ]
    return "\n".join(lines) + "\n"


def draw(found: Found, path: Path) -> None:
    """Seconds and error of every method and peer, a panel a case; a line joins those that nobody beats in both."""
    cases = [case for case in found.cases() if points_of(found, case)]
    with new_figure(path, figsize=(WIDTH, 3.6), layout="constrained") as figure:
        for axes, case in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
            points = {name: one for name, one in points_of(found, case).items() if one[1] < 1.6}
            best = sorted(points[name] for name in front(points))
            axes.plot(*zip(*best, strict=True), color=GREY, linewidth=1, zorder=1)
            for name, (seconds, error) in points.items():
                colour = GREY if name in BASELINES else ORANGE if name.startswith((BART, "sigpy")) else PURPLE
                axes.plot(seconds, error, "o", color=BLUE if name == NETWORK else colour, markersize=4, zorder=2)
                axes.annotate(
                    name.removeprefix("csmri ").replace("temporal TV, ", "TV, ").removesuffix(" iterations"),
                    (seconds, error),
                    xytext=(5, 0),
                    textcoords="offset points",
                    va="center",
                    color=BLACK if name == NETWORK else GREY,
                    fontsize=6,
                    weight="bold" if name == NETWORK else "normal",
                )
            # Names stand to the right of their points.
            times = [seconds for seconds, _ in points.values()]
            axes.set(xscale="log", xlabel="seconds", title=case, xlim=(min(times) / 2, 60 * max(times)))
            axes.xaxis.set_major_locator(FixedLocator([10.0**power for power in range(-3, 4)]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        figure.axes[0].set_ylabel("error left of linear interpolation's")


def main() -> None:
    asked = options(__doc__)
    found = {question: Found(asked.out, question) for question in QUESTIONS}
    goals = [goal for question, of in GOALS.items() for goal in of(found[question])]
    (asked.out / "goals.md").write_text(table(goals, found))
    if found["methods"].medians:
        draw(found["methods"], asked.out / "quality_time.png")
    print(table(goals, found))


if __name__ == "__main__":
    main()
