"""IAM ListUsers: the users of the caller's account."""

from broker.api.iam.listing import listing
from broker.api.iam.shapes import user

ACTION = listing("ListUsers", "user", "Users", lambda account: account.users, user)
