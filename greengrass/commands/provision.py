"""`tidegate provision`: devices' identities in AWS IoT, one by one or by a claim that many share; their rotation."""

import argparse

from greengrass.commands import provision_certificates, provision_claim, provision_device


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    provision_device.arguments(actions.add_parser("device", help="a thing, a certificate for its key, policy, groups"))
    provision_claim.arguments(actions.add_parser("claim", help="what lets many devices provision themselves"))
    provision_device.describe_arguments(
        actions.add_parser("describe", help="what a device is: hardware class, site, time zone, tags")
    )
    provision_certificates.show_arguments(actions.add_parser("show", help="a device's certificates and groups"))
    provision_certificates.rotate_arguments(
        actions.add_parser("rotate", help="a second certificate for a device, beside the one it uses")
    )
    provision_certificates.retire_arguments(
        actions.add_parser("retire", help="end a device's other certificates, once it uses the new one")
    )
    provision_certificates.remove_arguments(
        actions.add_parser("remove", help="take a device out of the cloud for good")
    )


def run(args: argparse.Namespace) -> int:
    return {
        "device": provision_device.run,
        "claim": provision_claim.run,
        "describe": provision_device.describe,
        "show": provision_certificates.show,
        "rotate": provision_certificates.rotate,
        "retire": provision_certificates.retire_others,
        "remove": provision_certificates.remove_device,
    }[args.action](args)
