"""The AWS IAM API, version 2010-05-08: a new action is one module and one row."""

from broker.api.iam import (
    create_virtual_mfa_device,
    deactivate_mfa_device,
    delete_virtual_mfa_device,
    enable_mfa_device,
    get_account_authorization_details,
    get_role,
    get_user,
    list_mfa_devices,
    list_roles,
    list_users,
    list_virtual_mfa_devices,
    resync_mfa_device,
    simulate_custom_policy,
    simulate_principal_policy,
)
from broker.api.query import Action, Service
from broker.api.render import IAM

VERSION = "2010-05-08"

ACTIONS: dict[str, Action] = {
    "CreateVirtualMFADevice": create_virtual_mfa_device.ACTION,
    "DeactivateMFADevice": deactivate_mfa_device.ACTION,
    "DeleteVirtualMFADevice": delete_virtual_mfa_device.ACTION,
    "EnableMFADevice": enable_mfa_device.ACTION,
    "GetAccountAuthorizationDetails": get_account_authorization_details.ACTION,
    "GetRole": get_role.ACTION,
    "GetUser": get_user.ACTION,
    "ListMFADevices": list_mfa_devices.ACTION,
    "ListRoles": list_roles.ACTION,
    "ListUsers": list_users.ACTION,
    "ListVirtualMFADevices": list_virtual_mfa_devices.ACTION,
    "ResyncMFADevice": resync_mfa_device.ACTION,
    "SimulateCustomPolicy": simulate_custom_policy.ACTION,
    "SimulatePrincipalPolicy": simulate_principal_policy.ACTION,
}

SERVICE = Service("iam", IAM, ACTIONS, user_sessions_need_mfa=True)
