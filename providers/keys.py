"""Which public keys are accepted, wherever a signature is believed."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa

RSA_BITS = range(2048, 8193)  # longer ones only make verification slow
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def accepted_key(public: object) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """The key itself. Raises `ValueError` for one that no accepted signature can be of."""
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size not in RSA_BITS:
            raise ValueError(f"an RSA key of {public.key_size} bits is not accepted, 2048 to 8192 are")
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, _CURVES):
        return public
    raise ValueError("only RSA keys and keys on the curves P-256, P-384 and P-521 are accepted")
