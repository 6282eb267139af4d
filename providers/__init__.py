"""Identity providers: each turns one kind of proof into an identity. A leaf library: nothing of `broker` is imported."""  # noqa: E501
