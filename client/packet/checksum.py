"""Internet checksums (RFC 1071) and their incremental update (RFC 1624)."""

Buffer = bytes | bytearray | memoryview


def fold(total: int) -> int:
    """Folds a sum of 16-bit words to 16 bits with end-around carry."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ones_sum(data: Buffer) -> int:
    """Returns the folded ones' complement sum of big-endian 16-bit words; an odd last byte is padded with zero.

    2**16 is 1 modulo 65535, so that the whole buffer, read as one integer, leaves the same remainder as the sum of its
    words: one C-speed division instead of a loop. Only data of nothing but zeros sums to 0.
    """
    value = int.from_bytes(data, "big")
    if len(data) & 1:
        value <<= 8
    if value == 0:
        return 0
    return value % 0xFFFF or 0xFFFF


def checksum(data: Buffer, initial: int = 0) -> int:
    """Returns the checksum field for ``data``; ``initial`` is a sum to start from (a pseudo-header's)."""
    return fold(ones_sum(data) + initial) ^ 0xFFFF


def pseudo_header_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Returns the folded sum of the IPv4 (RFC 793) or IPv6 (RFC 8200 section 8.1) pseudo-header."""
    return fold(ones_sum(source) + ones_sum(destination) + protocol + (length >> 16) + (length & 0xFFFF))


def delta(old: Buffer, new: Buffer) -> int:
    """Returns what a ones' complement sum changes by when ``old`` is replaced by ``new`` (RFC 1624 equation 3).

    Both have the same even length and the same even offset in the summed data.
    """
    return fold((ones_sum(old) ^ 0xFFFF) + ones_sum(new))
