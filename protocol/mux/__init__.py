"""The stream multiplexer of a tunnel: yamux wire format, sans-I/O."""
