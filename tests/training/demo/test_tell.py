"""What the demo says at its end, from given results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.demo.findings import Findings, Stretch, find
from training.demo.tell import Nouns, tell_findings, tell_troubles
from training.demo.watch import Results
from training.tables.table import Table, make_table

NOUNS = Nouns("connections", "attacks")
QUIET: dict[str, Any] = {"fine_tunes": 19, "refused": [], "waited": 0.0, "given_up": 0}


def results_of(flagged: list[int], version: list[int], unscored: tuple[int, ...] = ()) -> Results:
    score = np.ones(len(flagged))
    score[list(unscored)] = np.nan
    return Results(score, score.copy(), np.array(flagged, bool), np.array(version))


def table_of(attack: list[str] | list[int]) -> Table:
    return make_table({"x": list(range(len(attack))), "attack": list(attack)}, "attack")


def test_findings_count_kinds_and_versions_of_scored_events_only() -> None:
    table = table_of(["normal", "pod", "pod", "normal", "land", "land"])
    found = find(results_of([1, 1, 0, 0, 1, 1], [1, 1, 1, 2, 2, 0], unscored=(5,)), table)
    assert found == Findings(
        scored=5,
        flagged=3,
        stretches=(Stretch(1, 3, 2), Stretch(2, 2, 1)),
        anomalies=3,
        hits=2,
        kinds={"pod": (1, 2), "land": (1, 1)},
    )
    assert found.over_target(0.2) == pytest.approx(3.0)


def test_findings_without_labels_have_no_anomalies() -> None:
    table = make_table({"x": [1, 2]}, None)
    assert find(results_of([1, 0], [1, 1]), table) == Findings(2, 1, (Stretch(1, 2, 1),))


def test_flagged_events_without_a_label_are_grouped_by_the_columns_named() -> None:
    columns = {"service": ["http", "http", "ftp", "http", "smtp"], "flag": ["REJ", "REJ", "SF", "SF", "SF"]}
    table = make_table({**columns, "attack": ["normal", "normal", "normal", "pod", "normal"]}, "attack")
    found = find(results_of([1, 1, 1, 1, 0], [1] * 5), table, ("service", "flag"))
    assert found.groups == (("http REJ", 2), ("ftp SF", 1))
    text = tell_findings(found, 0.02, NOUNS)[-1]
    assert text == "Of the 3 flagged connections without a label, the largest groups are: http REJ 2, ftp SF 1."
    assert find(results_of([1, 1, 1, 1, 0], [1] * 5), table).groups == ()


def test_two_sentences_name_what_was_found_and_what_was_missed() -> None:
    kinds = {"pod": (90, 100), "land": (10, 20), "satan": (4, 40), "spy": (3, 40), "phf": (0, 4)}
    findings = Findings(10_000, 200, (Stretch(1, 10_000, 200),), anomalies=204, hits=107, kinds=kinds)
    kinds_text, figures = tell_findings(findings, 0.02, NOUNS)
    assert kinds_text.count(". ") == 1
    found, missed = kinds_text.split(". ")
    assert "2 of 5 kinds of attacks (pod 90 of 100, land 10 of 20)" in found
    assert "3 (satan 4 of 40, spy 3 of 40, phf 0 of 4)" in missed
    assert "of the 200 connections that it flagged, 107 (53.5%) are attacks" in figures
    assert "at random would give 2.0%" in figures
    assert "of the 204 attacks it flagged 107 (52.5%)" in figures


def test_only_the_largest_kinds_are_named() -> None:
    kinds = {f"kind{i:02}": (i, i) for i in range(1, 12)}
    text = tell_findings(Findings(1_000, 66, (), anomalies=66, hits=66, kinds=kinds), 0.02, NOUNS)[0]
    assert "kind11 11 of 11" in text
    assert "kind04 4 of 4 and 3 smaller ones" in text
    assert "kind03" not in text


def test_nothing_flagged_and_nothing_to_find_divides_by_nothing() -> None:
    nothing = Findings(0, 0, (), anomalies=0, hits=0, kinds={})
    assert "of the 0 connections that it flagged, 0 (none) are attacks" in tell_findings(nothing, 0.02, NOUNS)[0]
    assert tell_troubles(nothing, 0, 0.02, **QUIET) == []


def test_labels_without_kinds_and_data_without_labels_are_told_as_such() -> None:
    counts = Findings(1_000, 20, (), anomalies=10, hits=5, kinds={})
    assert tell_findings(counts, 0.02, NOUNS)[0].startswith("Precision")
    (text,) = tell_findings(Findings(1_000, 25, ()), 0.02, NOUNS)
    assert "25 of 1,000 connections (2.5%); it was told to flag about 2.0%. The data has no labels." in text


def of_rate(flagged: int) -> Findings:
    return Findings(8_000, flagged, (Stretch(1, 2_000, flagged - 90), Stretch(2, 6_000, 90)))


@pytest.mark.parametrize("flagged", [130, 160, 199])
def test_nothing_is_said_of_a_run_that_went_well(flagged: int) -> None:
    assert tell_troubles(of_rate(flagged), 8_000, 0.02, **QUIET) == []


def test_a_rate_that_is_off_names_the_version_behind_it() -> None:
    (high,) = tell_troubles(of_rate(490), 8_000, 0.02, **QUIET)
    assert "3.1 times the 2.0%" in high
    assert "Version 1, the first one" in high
    assert "flagged 20.0% of its 2,000 events; the others flagged 1.5%" in high
    (low,) = tell_troubles(Findings(8_000, 60, (Stretch(1, 2_000, 40), Stretch(2, 6_000, 20))), 8_000, 0.02, **QUIET)
    assert "0.4 times" in low
    assert "Version 2 flagged 0.3%" in low


def test_few_versions_are_explained_by_what_kept_them_away() -> None:
    findings = Findings(50_000, 1_000, (Stretch(1, 30_000, 600), Stretch(2, 20_000, 400)))
    slow = QUIET | {"fine_tunes": 1, "given_up": 4, "waited": 80.4}
    few, waited = tell_troubles(findings, 50_000, 0.02, **slow)
    assert "Version 1 served 30,000 events, where 5,000 are meant, and 1 fine-tunes came in all" in few
    assert "4 times the demo went on without the trainer, which was too slow" in few
    assert "waited 80 s" in waited
    (refused,) = tell_troubles(findings, 50_000, 0.02, **QUIET | {"refused": ["first", "errors are not finite"]})
    assert "the gate refused 2 challengers (the last one: errors are not finite)" in refused


def test_a_run_that_ended_early_says_how_far_it_came() -> None:
    (text,) = tell_troubles(of_rate(160), 20_000, 0.02, **QUIET)
    assert "Only 8,000 of 20,000 events" in text
