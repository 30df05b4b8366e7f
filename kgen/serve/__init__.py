"""Serving: a development server that speaks TF Serving's REST and gRPC calls over exports/NAME/VERSION/.

REST: https://www.tensorflow.org/tfx/serving/api_rest; gRPC: the stubs of `tensorflow-serving-api`.

The way of a request: `rest` or `grpc_services` -> `predictor` (limits, checks, metrics) -> `servable`, `batcher` ->
`loaded`. The way of a version: `discovery` -> `store` -> `version`. `server` ties them together in one event loop.
"""
