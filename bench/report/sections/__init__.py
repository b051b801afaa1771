"""Records as parts of the results page; one part a file."""

from bench.report.sections.compression import compression_section
from bench.report.sections.integers import integers_section
from bench.report.sections.models import models_section

__all__ = ["compression_section", "integers_section", "models_section"]
