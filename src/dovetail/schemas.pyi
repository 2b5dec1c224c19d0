"""The names of `dovetail.schemas` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.protocol.header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from dovetail.protocol.schema.screening import SchemaError
from dovetail.protocol.schema.validator import Validator, compile_schema
from dovetail.protocol.schema.violations import Violation

__all__ = [
    "HeaderParameter",
    "InvalidHeaderAnnotation",
    "SchemaError",
    "Validator",
    "Violation",
    "compile_schema",
    "header_parameters",
]
