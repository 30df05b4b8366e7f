"""Losses as pure functions: per example, in nats or logits."""
