"""The best compression of a model within limits and a budget of time."""

from gnn.searching.candidates import Candidate, Limits
from gnn.searching.found import Found
from gnn.searching.halving import search

__all__ = ["Candidate", "Found", "Limits", "search"]
