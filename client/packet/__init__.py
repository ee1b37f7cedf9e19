"""Bytes of IP packets: parse, build, rewrite. Pure; knows neither policy nor the host.

A *frame* is what one read of the TUN device delivers: the 10-byte virtio-net header (``vnet``) and then one IP packet
(``OFFSET`` is where it begins). A device without ``IFF_VNET_HDR`` is given a header of zeros by the shell, so that
everything above has one layout to deal with.
"""
