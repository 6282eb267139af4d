"""IAM CreateVirtualMFADevice: a new device; seed and QR code are told this once."""

import base64
from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, EXISTING_NAME, PATH, entity_arn, own_account
from broker.api.params import param
from broker.api.query import Action, Result
from broker.api.shapes import TAGS, Tag
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of CreateVirtualMFADevice."""

    name: str = param("VirtualMFADeviceName", EXISTING_NAME)
    path: str = param("Path", PATH, default="/")
    tags: tuple[Tag, ...] = param("Tags", TAGS, default=())


async def run(call: Call, request: Request) -> Result:
    """Make it."""
    serial_number = entity_arn(call, "mfa", request.name, request.path)
    created = await mfa_devices.create(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        own_account(call),
        serial_number=serial_number,
        tags=[(tag.key, tag.value) for tag in request.tags],
    )
    call.event.response = {"virtualMFADevice": {"serialNumber": serial_number}}
    return {
        "VirtualMFADevice": {
            "SerialNumber": serial_number,
            "Base32StringSeed": base64.b64encode(created.seed.encode("ascii")).decode("ascii"),
            "QRCodePNG": base64.b64encode(created.picture).decode("ascii"),
            "Tags": [{"Key": tag.key, "Value": tag.value} for tag in request.tags] or None,
        }
    }


# The flow asks for the permission, with the tags as condition keys.
ACTION = Action(request=Request, run=run, callers=CALLERS, audited=("VirtualMFADeviceName", "Path", "Tags"))
