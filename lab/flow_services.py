"""Servers on the office's bench host with which tests look at flows: half-closes, resets, servers that speak first, DNS, QUIC.

Run as ``python -m lab.flow_services FOLDER``; the folder gets QUIC's certificate. They stand for other parties, as ``lab.services`` does.
"""

import asyncio
import contextlib
import datetime
import socket
import struct
import sys
from pathlib import Path
from typing import cast

from lab.hosts import SERVERS
from lab.services import OFFICE_ZONE, TcpEcho, serve_dns

HOST = SERVERS["bench"]
DNS_PORT = 5300
CALLS_PORT = 5060
LAST_WORD_PORT = 7001
FIRST_END_PORT = 7002
RESET_PORT = 7003
WITNESS_PORT = 7004
ECHO_PORT = 7005
QUIC_PORT = 7443
CALL_AFTER_S = 1.0


async def last_word(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says how much it got once the other side has finished, and only then."""
    got = await reader.read()
    writer.write(f"got {len(got)}".encode() + bytes(300_000))
    writer.close()


async def first_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Finishes its own half first and goes on listening; what it heard is known at WITNESS_PORT."""
    writer.write(b"that is all from me")
    writer.write_eof()
    HEARD.append(f"after my end {len(await reader.read())}")
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets when told so; else notes how the other side ended."""
    sock = writer.get_extra_info("socket")
    try:
        if await reader.readline() == b"reset me\n":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        HEARD.append(f"ended with {(await reader.read()).decode()}")
    except ConnectionResetError:
        HEARD.append("was reset")
    writer.close()


async def witness(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tells what the others heard, and forgets it."""
    writer.write("\n".join(HEARD).encode())
    HEARD.clear()
    writer.close()


HEARD: list[str] = []


class Calls(asyncio.DatagramProtocol):
    """Like a telephone exchange: a registration is answered, and later it is this side that calls."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data == b"REGISTER":
            self._transport.sendto(b"200 registered", addr)
            asyncio.get_running_loop().call_later(CALL_AFTER_S, self._transport.sendto, b"INVITE", addr)
        elif data == b"200 ringing":
            self._transport.sendto(b"ACK", addr)


async def serve_quic(folder: Path) -> None:
    """A QUIC server that sends each stream back; without aioquic there is none."""
    with contextlib.suppress(ImportError):
        from aioquic.asyncio.server import serve
        from aioquic.quic.configuration import QuicConfiguration

        certificate, key = make_certificate(folder)
        configuration = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
        configuration.load_cert_chain(certificate, key)

        def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def run() -> None:
                writer.write(await reader.read())
                writer.write_eof()

            TASKS.add(task := asyncio.ensure_future(run()))
            task.add_done_callback(TASKS.discard)

        await serve(HOST, QUIC_PORT, configuration=configuration, stream_handler=echo)


TASKS: set["asyncio.Task[None]"] = set()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for bench.corp.internal; returns the paths of certificate and key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench.corp.internal")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bench.corp.internal")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "bench.pem", folder / "bench.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, private


async def main() -> None:
    """Starts everything and says when it listens."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    await serve_dns(HOST, OFFICE_ZONE, DNS_PORT)
    await loop.create_datagram_endpoint(Calls, (HOST, CALLS_PORT))
    await loop.create_server(TcpEcho, HOST, ECHO_PORT, backlog=4096)
    for port, serve in (
        (LAST_WORD_PORT, last_word),
        (FIRST_END_PORT, first_end),
        (RESET_PORT, reset),
        (WITNESS_PORT, witness),
    ):
        await asyncio.start_server(serve, HOST, port)
    await serve_quic(Path(sys.argv[1]))
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
