"""IAM EnableMFADevice: a device for a user who shows two of its codes in a row."""

from broker.api.iam.mfa import shown_two_codes
from broker.flows import mfa_devices

ACTION = shown_two_codes("EnableMFADevice", mfa_devices.enable)
