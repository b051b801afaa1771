"""The contract checks of this library, for anybody's model or compression method, with pytest or without."""

from gnn.testing.checks import Check, Report, report
from gnn.testing.model_checks import MODEL_CHECKS, check_model

__all__ = ["MODEL_CHECKS", "Check", "Report", "check_model", "report"]
