"""Which action on which resource a request is: patterns of paths, ARNs filled from them, S3's further operations."""
