"""Sojourn: a self-hosted, AWS-STS-compatible token broker and identity federation gateway."""
