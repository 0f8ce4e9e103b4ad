"""Every error that tidegate raises on purpose.

TidegateError              one line: what was wrong, where, what was expected, what to do
├── UsageError             the command or its configuration is wrong (exit code 2)
│   └── ConfigError        a configuration file or component configuration
├── DataError              a data set, an image or a label file
├── ModelError             an ONNX file or a graph that does not keep the canonical contract
├── PackageError           a model package that must not be trusted or cannot be read
├── WireError              bytes that are not a message of ours
├── CameraError            a camera that could not be looked through
├── UplinkError            a message that could not be handed on; trying again may help
├── SpoolError             the gateway's database
├── StoreError             the object store or the registry
├── LakeError              the lake's tables
├── DeployError            components, deployments and the control plane
└── RolloutError           a roll-out that cannot start, go on or go back
"""


class TidegateError(Exception):
    """Something a person can act on; `str()` is one line without a traceback."""

    exit_code = 1


class UsageError(TidegateError):
    """The command was called wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration names an unknown key or holds a value out of range."""


class DataError(TidegateError):
    """A data set, an image or a label file is not what it should be."""


class ModelError(TidegateError):
    """An ONNX file is none, or its graph does not keep the canonical contract."""


class PackageError(TidegateError):
    """A model package is damaged, not signed by whom we trust, expired or too old."""


class WireError(TidegateError):
    """Bytes from outside are not a message of ours."""


class CameraError(TidegateError):
    """A camera could not be opened, stalled, or went away."""


class UplinkError(TidegateError):
    """A message could not be handed on; the link may come back."""


class SpoolError(TidegateError):
    """The spool's database cannot be opened or written."""


class StoreError(TidegateError):
    """The object store refused, or does not hold what was asked for."""


class LakeError(TidegateError):
    """A table of the lake cannot be read or written."""


class DeployError(TidegateError):
    """A component or deployment was refused or failed."""


class RolloutError(TidegateError):
    """A roll-out cannot start, go on or go back."""
