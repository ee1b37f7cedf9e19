"""Tests of destinations from a connector."""

from typing import Annotated

from pydantic import Field

from controller.api.schemas.common import Input, Output, Text, example, input_example


class ConnectorTestOrder(Input):
    """A destination that is part of a resource of the connector's remote network."""

    model_config = input_example(host="wiki.corp.internal", port=443)

    host: Annotated[Text, Field(min_length=1, max_length=255, description="A name or an address.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Over TCP.")]


class ConnectorTest(Output):
    """What happened."""

    model_config = example(
        supported=True,
        resource="res_q1w2e3r4t5y6u7i8o9p0aA",
        connected=True,
        reason=None,
        sentence=None,
        next=None,
        addresses=["10.20.0.5"],
        address="10.20.0.5",
        resolve_ms=1.2,
        connect_ms=0.8,
    )

    supported: bool = Field(description="False: the connector is too old to be asked; nothing was dialled.")
    resource: str = Field(description="The resource that the destination is part of.")
    connected: bool
    reason: str | None = Field(description="Why not: a reason code, such as `connection_refused` or `connect_timeout`.")
    sentence: str | None
    next: str | None
    addresses: list[str] = Field(description="What the name was resolved to.")
    address: str | None = Field(description="What was connected to.")
    resolve_ms: float | None
    connect_ms: float | None
