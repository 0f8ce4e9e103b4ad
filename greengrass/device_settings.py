"""What a device is configured with to be who it was provisioned as. Pure.

The Java nucleus takes its file from its installer (`--init-config`), lite reads /etc/greengrass/config.yaml.
https://docs.aws.amazon.com/greengrass/v2/developerguide/manual-installation.html
"""

import json
from pathlib import PurePosixPath
from typing import Any, Literal

Nucleus = Literal["java", "lite"]
_MQTT_PORT = 8883


def nucleus_settings(
    kind: Nucleus,
    thing: str,
    *,
    region: str,
    data_endpoint: str,
    credential_endpoint: str,
    role_alias: str,
    identity: PurePosixPath,
) -> bytes:
    """The nucleus' configuration file. `identity`: the folder on the device that `tidegate gateway identity` keeps."""
    current = identity / "current"
    system: dict[str, Any] = {
        "certificateFilePath": str(current / "certificate.pem"),
        "privateKeyPath": str(current / "private.key"),
        "rootCaPath": str(identity / "ca.pem"),
        "thingName": thing,
    }
    configuration: dict[str, Any] = {
        "awsRegion": region,
        "iotDataEndpoint": data_endpoint,
        "iotCredEndpoint": credential_endpoint,
        "iotRoleAlias": role_alias,
    }
    if kind == "java":
        system["rootpath"] = "/greengrass/v2"
        service = {"componentType": "NUCLEUS", "configuration": configuration}
        return _yaml({"system": system, "services": {"aws.greengrass.Nucleus": service}})
    system["rootPath"] = "/var/lib/greengrass"
    configuration["runWithDefault"] = {"posixUser": "gg_component:gg_component"}
    service = {"componentType": "NUCLEUS", "configuration": configuration}
    return _yaml({"system": system, "services": {"aws.greengrass.NucleusLite": service}})


def uplink_settings(*, data_endpoint: str, identity: PurePosixPath) -> bytes:
    """The `[uplink]` of a gateway.toml for a gateway that speaks to AWS IoT Core itself."""
    host, colon, port = data_endpoint.partition(":")
    current = identity / "current"
    text = (
        f'[uplink]\nkind = "aws"\nhost = "{host}"\nport = {port if colon else _MQTT_PORT}\n'
        f'ca = "{identity / "ca.pem"}"\ncertificate = "{current / "certificate.pem"}"\n'
        f'key = "{current / "private.key"}"\n'
    )
    return text.encode()


def _yaml(document: dict[str, Any]) -> bytes:
    """Block style by hand: nothing in it needs more than mappings of strings, and lite's reader is picky."""
    return ("\n".join(_lines(document, "")) + "\n").encode()


def _lines(document: dict[str, Any], indent: str) -> list[str]:
    found: list[str] = []
    for key, value in document.items():
        if isinstance(value, dict):
            found += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            found.append(f"{indent}{key}: {json.dumps(value)}")
    return found
