"""The AWS IAM API, version 2010-05-08: a new action is one module and one row."""

from broker.api.iam import (
    get_account_authorization_details,
    get_role,
    get_user,
    list_roles,
    list_users,
    simulate_custom_policy,
    simulate_principal_policy,
)
from broker.api.query import Action, Service
from broker.api.render import IAM

VERSION = "2010-05-08"

ACTIONS: dict[str, Action] = {
    "GetAccountAuthorizationDetails": get_account_authorization_details.ACTION,
    "GetRole": get_role.ACTION,
    "GetUser": get_user.ACTION,
    "ListRoles": list_roles.ACTION,
    "ListUsers": list_users.ACTION,
    "SimulateCustomPolicy": simulate_custom_policy.ACTION,
    "SimulatePrincipalPolicy": simulate_principal_policy.ACTION,
}

SERVICE = Service("iam", IAM, ACTIONS, user_sessions_need_mfa=True)
