"""Numbers of bytes for people to read."""


def size(count: object) -> str:
    """Returns ``12 B``, ``3.4 MB``: thousands, as disks and network interfaces are sold; anything but a number is 0."""
    left = float(count) if isinstance(count, int | float) else 0.0
    for unit in ("B", "kB", "MB", "GB"):
        if left < 1000:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= 1000
    return f"{left:.1f} TB"
