"""Compress graph neural networks: tasks, models, compression methods, storage and runtime, without pytest."""
