"""What can be asked about sinks. They are no part of the policy: the state does not hold them, the log says who made them."""

from dataclasses import dataclass

from controller.domain.commands import Command


@dataclass(frozen=True, slots=True)
class AddSink(Command):
    """The caller has checked kind, destination and content."""

    sink: str
    name: str
    kind: str
    destination: str
    content: str


@dataclass(frozen=True, slots=True)
class RemoveSink(Command):
    sink: str
    name: str
