"""What the server counts, and its text in the format that Prometheus reads (exposition format 0.0.4).

A hundred lines of our own, and no client library: theirs keeps its figures in one registry per process, so
that two servers in one test would count together, and most of it is for processes that share a store.
No label has a name, an address or an id: only words of our own.
"""

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCIES_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0)

Figures = Mapping[str, float]
"""By the value of the label; the one figure of a metric without label has the key ""."""


class Metric:
    """One metric: what it is called, and what it means."""

    kind = "untyped"

    def __init__(self, name: str, explanation: str, label: str | None = None) -> None:
        self.name = name
        self.explanation = explanation
        self.label = label

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield f"# HELP {self.name} {self.explanation}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self._samples()

    def _samples(self) -> Iterator[str]:
        raise NotImplementedError

    def _sample(self, value: float, word: str, suffix: str = "", label: str | None = None) -> str:
        label = label or self.label
        labels = f'{{{label}="{word}"}}' if label else ""
        shown = str(int(value)) if value == int(value) else repr(float(value))
        return f"{self.name}{suffix}{labels} {shown}"


class Counter(Metric):
    """A figure that only grows, for each word of its label."""

    kind = "counter"

    def __init__(self, name: str, explanation: str, label: str | None = None) -> None:
        super().__init__(name, explanation, label)
        self._figures: dict[str, float] = {} if label else {"": 0.0}

    def add(self, amount: float = 1, word: str = "") -> None:
        """Count; `word` is one of ours, and there are few."""
        self._figures[word] = self._figures.get(word, 0.0) + amount

    def value(self, word: str = "") -> float:
        return self._figures.get(word, 0.0)

    def _samples(self) -> Iterator[str]:
        for word, value in sorted(self._figures.items()):
            yield self._sample(value, word)


class Read(Metric):
    """Figures that are asked for when somebody reads them: a gauge, or a counter that another one keeps."""

    def __init__(
        self,
        name: str,
        explanation: str,
        read: Callable[[], Figures],
        label: str | None = None,
        kind: str = "gauge",
    ) -> None:
        super().__init__(name, explanation, label)
        self.kind = kind
        self._read = read

    def _samples(self) -> Iterator[str]:
        for word, value in sorted(self._read().items()):
            yield self._sample(value, word)


class Histogram(Metric):
    """How many observations were at most so great."""

    kind = "histogram"

    def __init__(self, name: str, explanation: str, bounds: Sequence[float]) -> None:
        super().__init__(name, explanation)
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def _samples(self) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield self._sample(total, bound, "_bucket", "le")
        yield self._sample(self._sum, "", "_sum")
        yield self._sample(total, "", "_count")


class ServerMetrics:
    """All metrics of one server. Whoever has figures of its own may `add` them."""

    def __init__(self) -> None:
        self._metrics: list[Metric] = []
        self.epochs = self._counter("conclave_epochs_total", "Commits that were accepted.")
        self.commit_latency = Histogram(
            "conclave_commit_latency_seconds",
            "From when a meeting's leader had work to the commit that was accepted.",
            LATENCIES_S,
        )
        self.add(self.commit_latency)
        self.takeovers = self._counter(
            "conclave_takeovers_total", "Leaders that were followed by another while work was pending."
        )
        self.refused = self._counter(
            "conclave_refused_messages_total", "Messages that were answered with an error.", "code"
        )
        self.refused_commits = self._counter(
            "conclave_refused_commits_total", "Commits that did not get into the log.", "reason"
        )
        self.turned_away = self._counter(
            "conclave_turned_away_total",
            "Connections and requests that a limit or a check kept out.",
            "reason",
        )
        self.cut = self._counter(
            "conclave_slow_consumers_total", "Connections cut because the peer did not read."
        )
        self.received_messages = self._counter(
            "conclave_received_messages_total", "Messages that came from participants."
        )
        self.received_bytes = self._counter(
            "conclave_received_bytes_total", "Bytes that came on WebSockets, before they are parsed."
        )
        self.sent_messages = self._counter(
            "conclave_sent_messages_total", "Messages that were queued for participants."
        )
        self.sent_bytes = self._counter(
            "conclave_sent_bytes_total", "Bytes of messages that were queued for participants."
        )

    def add(self, metric: Metric) -> None:
        self._metrics.append(metric)

    def read(
        self,
        name: str,
        explanation: str,
        read: Callable[[], Figures],
        label: str | None = None,
        kind: str = "gauge",
    ) -> None:
        """Add a metric whose figures are asked for when somebody reads them."""
        self.add(Read(name, explanation, read, label, kind))

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        return "".join(f"{line}\n" for metric in self._metrics for line in metric.lines())

    def _counter(self, name: str, explanation: str, label: str | None = None) -> Counter:
        counter = Counter(name, explanation, label)
        self.add(counter)
        return counter
