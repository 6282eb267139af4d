"""What the actions on MFA devices share (AWS IAM API Reference)."""

from broker.api.rules import text

SERIAL_NUMBER = text(9, 256, r"[\w+=/:,.@-]+")
AUTHENTICATION_CODE = text(6, 6, r"[\d]+")
