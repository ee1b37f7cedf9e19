"""Plain routing from the desk to the servers: what links, kernels and the load itself allow."""

from bench.engines.engine import CEILING, Engine

ADDRESS = "10.20.0.60"


class Routed(Engine):
    """No tunnel at all."""

    name = "routed"
    label = "plain routing"
    group = CEILING

    @property
    def target(self) -> str:
        return ADDRESS

    def start(self) -> None:
        self.lab.route(ADDRESS)
        self.wait_until_it_carries()

    def stop(self) -> None:
        self.lab.unroute(ADDRESS)
