"""Figures in the text that Prometheus reads, and log lines that tell of nobody."""

import json
import logging
import re

import pytest

from signaling.logs import FORMATTERS, log_event
from signaling.metrics import Counter, Histogram, Read, ServerMetrics

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"\})? (\+Inf|-?[0-9.e+-]+)')


def test_the_text_is_in_the_exposition_format() -> None:
    metrics = ServerMetrics()
    metrics.turned_away.add(2, "origin")
    metrics.commit_latency.observe(0.1)
    metrics.read("conclave_meetings", "Meetings that exist.", lambda: {"": 3})
    lines = metrics.text().splitlines()
    for line in lines:
        assert line.startswith(("# HELP conclave_", "# TYPE conclave_")) or SAMPLE.fullmatch(line), line
    assert 'conclave_turned_away_total{reason="origin"} 2' in lines
    assert "conclave_meetings 3" in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_a_histogram_counts_up() -> None:
    histogram = Histogram("h", "what", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert list(histogram.lines())[2:] == [
        'h_bucket{le="0.1"} 2',
        'h_bucket{le="1.0"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 7.65",
        "h_count 4",
    ]


def test_a_counter_without_label_is_there_from_the_start_and_one_with_words_when_they_come() -> None:
    assert list(Counter("c", "what").lines())[-1] == "c 0"
    labelled = Counter("c", "what", "reason")
    assert len(list(labelled.lines())) == 2
    labelled.add(1, "b")
    labelled.add(1.5, "a")
    assert list(labelled.lines())[2:] == ['c{reason="a"} 1.5', 'c{reason="b"} 1']
    assert list(Read("g", "what", dict, "state").lines())[1:] == ["# TYPE g gauge"]


def _line(style: str, *, addresses: bool = False, error: BaseException | None = None) -> str:
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.Logger("conclave.test")
    logger.addHandler(Keeper())
    if error is not None:
        try:
            raise error
        except type(error):
            logger.exception("went wrong")
    else:
        log_event(logger, logging.INFO, "turned_away", reason="too fast", address="198.51.100.7", count=3)
    return FORMATTERS[style](addresses=addresses).format(records[0])


def test_lines_are_what_a_machine_reads() -> None:
    told = json.loads(_line("json"))
    assert told.pop("at").endswith("Z")
    assert told == {
        "level": "info",
        "from": "conclave.test",
        "event": "turned_away",
        "reason": "too fast",
        "count": 3,
    }
    assert _line("key-value").endswith('event=turned_away reason="too fast" count=3')


@pytest.mark.parametrize("style", FORMATTERS)
def test_addresses_are_told_only_if_wanted(style: str) -> None:
    assert "198.51.100.7" not in _line(style)
    assert "198.51.100.7" in _line(style, addresses=True)


@pytest.mark.parametrize("style", FORMATTERS)
def test_an_exception_is_told_by_type_and_place_not_by_what_it_says(style: str) -> None:
    line = _line(style, error=ValueError("what a peer sent, with 198.51.100.7\n"))
    assert "ValueError" in line
    assert "test_metrics.py" in line
    assert "198.51" not in line
    assert "\n" not in line
