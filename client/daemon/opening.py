"""One stream of a tunnel, from its header to the connector's answer (protocol.streams; C20)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import RefusedError, RemoteError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from protocol.streams import StreamAnswer, StreamHeader, answer_reader, encode_header, parse_answer_untrusted
from runtime.tunnel import TunnelStream


class ConnectorRefusedError(RefusedError):
    """The connector said no: the connection is in its records, not in ours."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose answer had no reason. What came behind the answer waits in it for the next receiver."""

    stream: TunnelStream
    answer: StreamAnswer


class Opening:
    """Receiver of a stream until its answer is there."""

    def __init__(self, stream: TunnelStream) -> None:
        self._stream = stream
        self._reader = answer_reader()
        self._answer: asyncio.Future[StreamAnswer] = asyncio.get_running_loop().create_future()
        stream.set_receiver(self)

    @property
    def accepted(self) -> bool:
        """The answer is there, and it is yes."""
        answer = self._answer
        return (
            answer.done() and not answer.cancelled() and answer.exception() is None and answer.result().reason is None
        )

    def on_answer(self, callback: Callable[[], None]) -> None:
        """Calls back in a turn of its own when the answer is there, or will not come."""
        self._answer.add_done_callback(lambda _: callback())

    async def wait_for(self, seconds: float) -> Opened | None:
        """Waits for the answer, as ``wait`` does, but returns None when it is not there after ``seconds``."""
        await asyncio.wait((self._answer,), timeout=seconds)
        return await self.wait() if self._answer.done() else None

    async def wait(self) -> Opened:
        """Waits for the answer.

        Raises:
            ConnectorRefusedError: the connector said no.
            RemoteError: the stream, or its tunnel, was lost before the answer.
        """
        try:
            answer = await self._answer
        except BaseException:
            self._stream.reset(Reason.CANCELLED)
            raise
        return self._result(answer)

    def result(self) -> Opened:
        """Returns the stream of an ``accepted`` opening."""
        return self._result(self._answer.result())

    def _result(self, answer: StreamAnswer) -> Opened:
        if answer.reason is not None:
            reason = reason_from_code(answer.reason)
            self._stream.reset(reason)
            raise ConnectorRefusedError(reason, "said by the connector")
        return Opened(self._stream, answer)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._answer.cancel()
        self._stream.reset(Reason.CANCELLED)

    # StreamReceiver

    def data_received(self, data: bytes) -> None:
        """Collects the answer."""
        if self._answer.done():
            self._stream.set_receiver(None)
            self._stream.unread(data)
            return
        try:
            self._reader.receive_data(data)
            if self._reader.frame is None:
                self._stream.consumed(len(data))
                return
            answer = parse_answer_untrusted(self._reader.frame)
        except RemoteProtocolError as error:
            self._fail(error)
            raise
        rest = self._reader.rest
        self._stream.consumed(len(data) - len(rest))
        self._stream.set_receiver(None)
        self._stream.unread(rest)
        self._answer.set_result(answer)

    def eof_received(self) -> None:
        """The connector ended the stream without a word."""
        self._fail(RemoteProtocolError("the connector ended a stream without an answer"))
        self._stream.reset(Reason.PROTOCOL_ERROR)

    def stream_reset(self, reason: Reason) -> None:
        """The stream is gone."""
        self._fail(RemoteError(reason, "the stream was reset before the answer"))

    def pause_writing(self) -> None:
        """A header is small: the mux keeps it until there is credit."""

    def resume_writing(self) -> None:
        """Nothing waits here."""

    def _fail(self, error: RemoteError) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # somebody may have given up waiting


def begin(stream: TunnelStream, header: StreamHeader) -> Opening:
    """Sends ``header`` on a new stream."""
    opening = Opening(stream)
    stream.write(encode_header(header))
    return opening
