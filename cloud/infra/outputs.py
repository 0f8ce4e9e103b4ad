"""What `cdk deploy --outputs-file` writes, as the variables that the other commands read. Pure."""

import json
import re
import shlex

from models.errors import UsageError

PREFIX = "Tidegate"


def variables(document: str) -> dict[str, str]:
    """TIDEGATE_LAKE and so on; UsageError for a document that is not the outputs of one of our stacks."""
    try:
        stacks = json.loads(document)
        found = {
            _variable(name): str(value)
            for outputs in stacks.values()
            for name, value in outputs.items()
            if name.startswith(PREFIX)
        }
    except (ValueError, AttributeError) as exc:
        raise UsageError(f"not what `cdk deploy --outputs-file` writes: {exc}") from exc
    if not found:
        raise UsageError(f"no outputs of ours ({PREFIX}...) in it; expected what `cdk deploy --outputs-file` wrote")
    return found


def exports(found: dict[str, str]) -> str:
    """For a shell to `eval`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def _variable(output: str) -> str:
    """TidegateRoleAlias -> TIDEGATE_ROLE_ALIAS; CloudFormation takes no underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", output).upper()
