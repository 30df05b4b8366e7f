"""Sweeps: trainings of several settings, of which the best train on; what kgen-sweep does."""
