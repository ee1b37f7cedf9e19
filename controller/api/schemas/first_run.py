"""The first run over the web."""

from pydantic import Field

from controller.api.schemas.common import Input, Name, Output, Text, example, input_example
from controller.identity.passwords import PASSWORD_MAX


class Setup(Output):
    """Whether somebody may set the controller up over the web."""

    model_config = example(open=True)

    open: bool = Field(description="There is no owner yet.")


class SetupRequest(Input):
    """The first owner and, if it has a name, the first remote network."""

    model_config = input_example(
        token="ost_setup_q1w2e3r4t5y6u7i8o9p0aAq1w2e3r4t5y6u7i8o9p0a",  # noqa: S106 - an example
        email="ada@corp.example",
        name="Ada",
        password="correct horse battery staple",  # noqa: S106 - an example
        network="office",
    )

    token: Text = Field(
        min_length=1, max_length=128, description="What `ostiary-controller admin setup-token` printed."
    )
    email: Text = Field(min_length=3, max_length=254)
    name: Name
    password: Text = Field(min_length=1, max_length=PASSWORD_MAX, json_schema_extra={"format": "password"})
    network: Name | None = None


class SetupDone(Output):
    """What was made. Sign in with the address and the password."""

    model_config = example(owner="usr_q1w2e3r4t5y6u7i8o9p0aA", network="net_q1w2e3r4t5y6u7i8o9p0aA")

    owner: str
    network: str | None
