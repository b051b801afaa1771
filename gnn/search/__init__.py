"""The best compression of a model within limits and a budget of time."""

from gnn.search.candidates import Candidate, Limits
from gnn.search.found import Found
from gnn.search.halving import search

__all__ = ["Candidate", "Found", "Limits", "search"]
