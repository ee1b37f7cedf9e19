"""Signed values: strict JWS, one frozen class per kind, verified types out (decision D10).

``keys`` holds keys and pins, ``issue`` signs, ``verify`` is the only way from a string to a claims object. ``strict`` and
``jws`` are below them; ``jws`` is the only module of the product that knows a JWT library.
"""
