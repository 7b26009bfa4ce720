"""What can go wrong because of something outside the program.

::

    ColdstartError            exit code 1; the text is shown to the user as it stands
    ├── ParamsError           2  a key or value of params.yaml or of a form
    ├── DataError             3  a file, row or column of the data
    │   └── ValidationFailed  3  the data is readable, but breaks an expectation
    ├── ArtefactError         4  a bundle, lock or report that is missing or altered
    ├── TrainingDiverged      5  a loss or gradient is not finite
    ├── EvaluationError       6  a canary scored what it must not
    ├── GateError             7  the promotion could not be decided or carried out
    └── ServiceError          8  a service that is needed does not answer (worth a retry)

Every message names the file, row, column, key or value at fault and says what to do. Codes 2 to 7
are the same on every try, so an orchestrator must not retry them; 8 and anything else may be.
"""

from __future__ import annotations


class ColdstartError(Exception):
    """Base of every error that the user can act upon."""

    exit_code = 1


class ParamsError(ColdstartError, ValueError):
    """A key or a value of ``params.yaml``, or of a form, is not allowed."""

    exit_code = 2


class DataError(ColdstartError, ValueError):
    """The data cannot be read or used."""

    exit_code = 3


class ValidationFailed(DataError):
    """The data can be read but does not meet the expectations."""


class ArtefactError(ColdstartError, ValueError):
    """A bundle, a lock file or another artefact is missing, altered or of another version."""

    exit_code = 4


class TrainingDiverged(ColdstartError, ArithmeticError):
    """A loss, gradient or parameter became NaN or infinite."""

    exit_code = 5


class EvaluationError(ColdstartError, ValueError):
    """The evaluation contradicts itself, for instance a canary scored better than chance."""

    exit_code = 6


class GateError(ColdstartError, ValueError):
    """A promotion could not be decided or carried out."""

    exit_code = 7


class ServiceError(ColdstartError, ConnectionError):
    """A service that is needed (Airflow, MLflow, storage) does not answer."""

    exit_code = 8


NEVER_RETRY = frozenset({2, 3, 4, 5, 6, 7})
"""Exit codes that a retry cannot change."""
