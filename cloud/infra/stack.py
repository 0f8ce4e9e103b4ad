"""The stack: everything of ours in one account and region, and what of it other commands need to know."""

from pathlib import Path

import aws_cdk as cdk

from cloud.infra.alarms import alarms
from cloud.infra.devices import devices
from cloud.infra.results import results
from cloud.infra.settings import Settings
from cloud.infra.storage import COMPONENTS, LAKE, REGISTRY, storage


def synthesise(settings: Settings, *, image: Path, out: Path) -> Path:
    """Write the cloud assembly, as `cdk deploy --app` takes it; the template's path. Needs no network."""
    app = cdk.App(outdir=str(out), analytics_reporting=False)
    stack = cdk.Stack(app, settings.name, description="tidegate: gateways, their results and the lake")
    cdk.Tags.of(stack).add("project", settings.name)
    kept = storage(stack)
    known = devices(stack, settings.name, kept)
    way = results(stack, settings, kept.lake, image)
    topic = alarms(stack, way, email=settings.email)
    for name, value in {
        "Artifacts": f"s3://{kept.artifacts.bucket_name}/{COMPONENTS}",
        "Registry": f"s3://{kept.artifacts.bucket_name}/{REGISTRY}",
        "Lake": f"s3://{kept.lake.bucket_name}/{LAKE}",
        "RoleAlias": known.role_alias,
        "ProvisioningRole": known.provisioning_role,
        "CoreDevicePolicy": known.core_device_policy,
        "GatewayPolicy": known.gateway_policy,
        "Alarms": topic.topic_arn,
    }.items():
        cdk.CfnOutput(stack, f"Tidegate{name}", value=value)
    app.synth()
    return out / f"{settings.name}.template.json"
