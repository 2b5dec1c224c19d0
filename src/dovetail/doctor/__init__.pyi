"""The names of `dovetail.doctor` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.doctor.examining import diagnose, examine
from dovetail.doctor.findings import Diagnosis, Step

__all__ = ["Diagnosis", "Step", "diagnose", "examine"]
