"""Serving: a development server with TF Serving's REST and gRPC calls over exports/NAME/VERSION/.

The way of a request: `app` (REST) or `grpc` -> `codec` (to arrays) -> `predictor` (limits, checks, metrics) -> `models`
(the loaded SavedModel) -> `batcher`; errors, limits and signatures are in `validation`. `server` starts and stops them
in one event loop, `discovery` reads the served folder, and `tf_serving` runs the real TF Serving instead.
"""
