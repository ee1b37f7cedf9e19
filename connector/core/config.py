"""The config in force: never an older one, and what it says in a form that is quick to ask (C3, D8, T-8, T-57)."""

from collections.abc import Collection
from dataclasses import dataclass

from connector.core.egress import EgressRules, Listener
from protocol.acl.match import AclIndex
from protocol.errors import RemoteError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason
from protocol.tokens.claims import Config


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """A verified config with its indexes."""

    config: Config
    acl: AclIndex
    egress: EgressRules

    def expired(self, wall: float) -> bool:
        """True when its not-after has passed: new flows are refused until a new one arrives."""
        return wall > self.config.not_after


class ConfigKeeper:
    """Holds the newest config; refuses to go backwards."""

    def __init__(self, own_listeners: Collection[Listener] = ()) -> None:
        self._own_listeners = frozenset(own_listeners)
        self._floor: tuple[int, int] = (0, 0)
        self.current: ServedConfig | None = None

    @property
    def floor(self) -> tuple[Epoch, Revision]:
        """The newest (epoch, revision) ever accepted; what Hello reports and what is kept on disk."""
        return Epoch(self._floor[0]), Revision(self._floor[1])

    def restore_floor(self, epoch: int, revision: int) -> None:
        """Takes the floor that was kept on disk; never lowers it."""
        self._floor = max(self._floor, (epoch, revision))

    def accept(self, config: Config) -> ServedConfig:
        """Takes a verified config. Raises RemoteError(SNAPSHOT_ROLLBACK) when it is older than the one in force.

        The same revision again is fine: it brings fresh tickets. It must not have been signed earlier, though.
        """
        offered = (config.epoch, config.revision)
        if offered < self._floor:
            raise RemoteError(Reason.SNAPSHOT_ROLLBACK, f"epoch and revision {offered} are older than {self._floor}")
        current = self.current
        if current is not None and offered == self._floor and config.issued_at < current.config.issued_at:
            raise RemoteError(Reason.SNAPSHOT_ROLLBACK, "the config was signed before the one in force")
        same_acl = current is not None and current.config.acl == config.acl
        acl = current.acl if same_acl and current is not None else AclIndex(config.acl)
        self._floor = offered
        self.current = ServedConfig(config, acl, EgressRules.of(config.egress_allow, self._own_listeners))
        return self.current

    def drop(self) -> None:
        """Forgets the config (the connector lost its standing); the floor stays."""
        self.current = None
