"""IAM ListRoles: the roles of the caller's account."""

from broker.api.iam.listing import listing
from broker.api.iam.shapes import role

ACTION = listing("ListRoles", "role", "Roles", lambda account: account.roles, role)
