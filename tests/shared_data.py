"""Place of the real images and weights, which most machines do not have: tests that need them skip."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("SHIFTSCOPE_DATA", "missing"))
