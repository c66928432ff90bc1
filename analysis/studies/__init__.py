"""The documents' experiments as tables of runs: which networks are trained, what is measured, what is claimed."""

from analysis.studies.execute import run_study
from analysis.studies.registry import STUDIES, study_named
from analysis.studies.study import Claim, Run, Study
from analysis.studies.summary import effects, summary, verdicts

__all__ = ["STUDIES", "Claim", "Run", "Study", "effects", "run_study", "study_named", "summary", "verdicts"]
