"""All studies by name."""

from __future__ import annotations

from analysis.files.messages import unknown
from analysis.studies import images, sound
from analysis.studies.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (images.BLURPOOL, images.TWINS, sound.SOUND, sound.FSDD)}


def study_named(name: str) -> Study:
    """Return a study by name, or refuse with the nearest one."""
    if name not in STUDIES:
        raise ValueError(unknown("study", name, STUDIES))
    return STUDIES[name]
