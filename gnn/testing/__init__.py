"""The contract checks of this library, for anybody's model or compression method, with pytest or without."""

from gnn.testing.checks import Check, Report, report
from gnn.testing.method_checks import METHOD_CHECKS, SETTINGS_CHECKS, check_method
from gnn.testing.model_checks import MODEL_CHECKS, check_model

__all__ = [
    "METHOD_CHECKS",
    "MODEL_CHECKS",
    "SETTINGS_CHECKS",
    "Check",
    "Report",
    "check_method",
    "check_model",
    "report",
]
