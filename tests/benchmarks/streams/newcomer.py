"""What a newcomer does with a stream: `offbeat profile FILE`, then `offbeat evaluate FILE -c` with what it proposed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tests.benchmarks.streams.anomalies import FIRST_ANOMALY, SHARE, Truth
from tests.benchmarks.streams.files import load, write
from training.evaluate.evaluation import Options, run
from training.profile.profile import Source, profile
from training.profile.text import commented_yaml
from training.tables.table import read_table
from worker.config.load import load as load_settings


@dataclass(frozen=True, slots=True)
class Case:
    """A stream, the seed of the stream and of the detector, and an alert rate; None takes the proposed one."""

    stream: str
    seed: int = 0
    alert_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the anomalies of one kind.

    `above` is the median over them of the share of normal rows with a higher error: 0 is best, .5 is chance.
    """

    anomalies: int
    recall: float
    above: float


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in one case.

    `kinds` by name; `alert_rate` as configured; `flagged` the share of the scored rows; `precision` over these;
    `precision_at_share` what it would be if .4 % of the rows were anomalies, from the rows where there are some.
    """

    case: Case
    kinds: dict[str, Found]
    alert_rate: float
    flagged: float
    precision: float
    precision_at_share: float

    @property
    def mean_recall(self) -> float:
        return float(np.mean([found.recall for found in self.kinds.values()]))

    @property
    def never_found(self) -> int:
        return sum(found.recall == 0 for found in self.kinds.values())


def try_out(case: Case) -> Result:
    """Profile and evaluate one case, on one thread."""
    torch.set_num_threads(1)
    events, truth = load(case.stream, case.seed)
    with tempfile.TemporaryDirectory() as folder:
        file, config = Path(folder) / f"{case.stream}.jsonl", Path(folder) / "offbeat.yaml"
        write(events, file)
        config.write_text(commented_yaml(profile(Source(file.name, read_table(file, None)), case.stream)), "utf-8")
        evaluation = run(
            Options(
                path=file,
                label=None,
                settings=load_settings(config),
                ignore=(),
                warmup=None,
                alert_rate=case.alert_rate,
                kind=None,
                window=None,
                seed=case.seed,
            )
        )
    outcome = evaluation.outcome
    configured = evaluation.settings.threshold.alert_rate
    return summarize(case, truth, outcome.first, outcome.flagged, outcome.error, configured)


def summarize(
    case: Case,
    truth: Truth,
    first: int,
    flagged: npt.NDArray[np.bool_],
    error: npt.NDArray[np.float32],
    alert_rate: float,
) -> Result:
    """Count what was found. `flagged` and `error` (n,) are of the rows from `first` on."""
    normal = np.ones(len(flagged), bool)
    normal[np.array(list(truth)) - first] = False
    ordinary = np.sort(error[normal])
    kinds = {}
    for name in sorted(set(truth.values())):
        rows = np.array([row for row, kind in truth.items() if kind == name]) - first
        above = 1 - np.searchsorted(ordinary, error[rows], side="right") / len(ordinary)
        kinds[name] = Found(len(rows), float(flagged[rows].mean()), float(np.median(above)))
    judged = slice(max(FIRST_ANOMALY - first, 0), None)
    hits = SHARE * float(flagged[~normal].mean())
    alarms = (1 - SHARE) * float(flagged[judged][normal[judged]].mean())
    return Result(
        case,
        kinds,
        alert_rate,
        flagged=float(flagged.mean()),
        precision=float((flagged & ~normal).sum() / max(flagged.sum(), 1)),
        precision_at_share=hits / max(hits + alarms, 1e-12),
    )
