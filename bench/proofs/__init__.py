"""Experiments that show whether the measurements hold and the gate can be trusted, each run by a script of its own."""
