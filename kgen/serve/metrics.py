"""Metrics of the server in Prometheus' text format, under names of its own and under TF Serving's."""

import re
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

TF_SERVING = ":tensorflow:serving:"
"""Prefix of TF Serving's names (tensorflow_serving/servables/tensorflow/util.cc, batching/batching_session.cc)."""
TF_CORE, TF_LOADER = ":tensorflow:core:", ":tensorflow:cc:saved_model:"
"""Those of TensorFlow's (core/common_runtime/metrics.cc, cc/saved_model/loader.cc), which TF Serving gives as well."""
QUEUING_MICROSECONDS = tuple(float(f"{100 * 1.2**i:.6g}") for i in range(52))
THREADS = "kgen-serve-run"
"""The name of the threads that run TensorFlow."""
MICROSECONDS = tuple(float(f"{10 * 1.8**i:.6g}") for i in range(33))
NAME_WITH_SUFFIX = re.compile(rb"(?<=:)(?!request_example)(\w+)_total(?=[ {])")
EXAMPLES = tuple(float(2**i) for i in range(15))
ENTRY_POINTS = {"rest": "REST", "grpc": "GRPC"}


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
        self._add_tf_serving()
        self._of_requests, self._of_runs = cache(self._find_of_requests), cache(self._find_of_runs)

    def _add_tf_serving(self):
        self.tf_registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            prefix = "" if name.startswith(":") else TF_SERVING
            return Counter(prefix + name, text, labels, registry=self.tf_registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(TF_SERVING + name, text, labels, buckets=buckets, registry=self.tf_registry)

        latency = "Distribution of wall time (in microseconds) for"
        self._request_count = counter("request_count", "The total number of requests.", "model_name", "status")
        self._request_latency = histogram(
            "request_latency", f"{latency} a request.", MICROSECONDS, "model_name", "API", "entrypoint"
        )
        self._runtime_latency = histogram(
            "runtime_latency", f"{latency} TensorFlow.", MICROSECONDS, "model_name", "API", "runtime"
        )
        self._example_counts = histogram(
            "request_example_counts", "The number of tensorflow.Examples per request.", EXAMPLES, "model"
        )
        self._example_count_total = counter(
            "request_example_count_total", "The total number of tensorflow.Examples.", "model"
        )
        self._warmup_latency = histogram(
            "model_warmup_latency", f"{latency} model warmup.", MICROSECONDS, "model_path", "status"
        )
        self._queuing_latency = histogram(
            "batching_session:queuing_latency", f"{latency} queuing.", QUEUING_MICROSECONDS, "thread_pool_name"
        ).labels(THREADS)
        self._wrapped_runs = counter("batching_session:wrapped_run_count", "The total number of calls of batches.")
        self._graph_runs = counter(TF_CORE + "graph_runs", "The number of executions in graph_run_time_usecs.")
        self._graph_run_time = counter(TF_CORE + "graph_run_time_usecs", "The total time of executions.")
        self._load_attempts = counter(
            TF_LOADER + "load_attempt_count", "The number of loads of a SavedModel.", "model_path", "status"
        )
        self._load_latency = counter(
            TF_LOADER + "load_latency", "Latency in microseconds of those that succeeded.", "model_path"
        )

    def count_request(self, account, code: str, seconds: float):
        """Counts a request that was answered.

        Args:
            account: its labels; see kgen.serve.predictor.Account.
            code: name of its Code.
            seconds: from its start to its answer.
        """
        requests, times, tf_count, tf_latency = self._of_requests(
            account.api, account.method, account.model, account.signature, code
        )
        requests.inc()
        times.observe(seconds)
        tf_count.inc()
        if tf_latency:
            tf_latency.observe(1e6 * seconds)

    def _find_of_requests(self, api: str, method: str, model: str, signature: str, code: str) -> tuple:
        return (
            self.requests.labels(api, model, signature, code),
            self.seconds.labels(api, model, signature),
            self._request_count.labels(model, code),
            self._request_latency.labels(model, method, ENTRY_POINTS[api]) if code == "OK" else None,
        )

    def _find_of_runs(self, model: str, method: str) -> Histogram:
        return self._runtime_latency.labels(model, method, "TF1")

    def count_run(self, model: str, method: str, seconds: float):
        """Counts the time that a request waited for TensorFlow and its batch."""
        self._of_runs(model, method).observe(1e6 * seconds)

    def count_examples(self, model: str, count: int):
        """Counts the tf.Examples of a request."""
        self._example_counts.labels(model).observe(count)
        self._example_count_total.labels(model).inc(count)

    def count_warmup(self, path: str, code: str, seconds: float):
        """Counts a replay of recorded requests."""
        self._warmup_latency.labels(path, code).observe(1e6 * seconds)

    def count_wait(self, seconds: float):
        """Counts the time that a request waited in the queue of a batch."""
        self._queuing_latency.observe(1e6 * seconds)

    def count_graph_run(self, seconds: float, *, batched: bool):
        """Counts a call of TensorFlow."""
        self._graph_runs.inc()
        self._graph_run_time.inc(1e6 * seconds)
        if batched:
            self._wrapped_runs.inc()

    def count_load(self, path: str, seconds: float, *, succeeded: bool):
        """Counts a load of a SavedModel, without its warm-up."""
        self._load_attempts.labels(path, "success" if succeeded else "fail").inc()
        if succeeded:
            self._load_latency.labels(path).inc(1e6 * seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry) + _without_suffix(generate_latest(self.tf_registry))


def _without_suffix(text: bytes) -> bytes:
    """Counters under the names that TF Serving gives them: without the `_total` and `_created` of OpenMetrics."""
    lines = [line for line in text.splitlines(keepends=True) if b"_created" not in line]
    return b"".join(NAME_WITH_SUFFIX.sub(rb"\1", line) for line in lines)
