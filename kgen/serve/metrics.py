"""Metrics of the server in Prometheus' text format."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one server; the labels of models and signatures that do not exist are ""."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "kgen_serve_requests", "Requests answered.", ["api", "model", "signature", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "kgen_serve_request_seconds",
            "From the start of a request to its answer.",
            ["api", "model", "signature"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "kgen_serve_batch_rows", "Rows of a call.", ["model", "signature"], buckets=ROWS, registry=self.registry
        )
        self.queue_rows = Gauge("kgen_serve_queue_rows", "Rows that wait.", ["model"], registry=self.registry)
        self.versions = Gauge(
            "kgen_serve_version_available", "1 for each available version.", ["model", "version"],
            registry=self.registry,
        )  # fmt: skip
        self.problems = Gauge(
            "kgen_serve_problems", "Folders and versions that cannot be served as they are.", registry=self.registry
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
