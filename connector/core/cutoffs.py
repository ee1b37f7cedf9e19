"""Revocations that still matter: which tokens are too old for what (design C23, decision D4, threat T-36).

A cut-off ends open flows once, with its own reason; from then on a token issued before it opens nothing (TOKEN_REVOKED,
which tells the client to fetch a new one). Those of the
config are replaced by the next config; those that were pushed ahead of a config live until a config of at least their
revision has arrived, which repeats them while they matter.
"""

from collections.abc import Iterable

from protocol.control import Cutoff
from protocol.ids import DeviceId, ResourceId, Revision
from protocol.reasons import Reason, reason_from_code

PUSHED_MAX = 100_000
"""Cut-offs ahead of a config; the oldest device-and-resource pairs fall out first, a controller never sends so many."""

_Key = tuple[DeviceId, ResourceId | None]


class Cutoffs:
    """Answers whether a token is too old; O(1)."""

    def __init__(self) -> None:
        self._config: dict[_Key, Cutoff] = {}
        self._pushed: dict[_Key, tuple[Revision, Cutoff]] = {}

    def __len__(self) -> int:
        return len(self._config.keys() | self._pushed.keys())

    def push(self, revision: Revision, cutoffs: Iterable[Cutoff]) -> None:
        """Takes a Revoke that came ahead of its config."""
        for cutoff in cutoffs:
            key = (cutoff.device, cutoff.resource)
            _, known = self._pushed.pop(key, (revision, cutoff))
            self._pushed[key] = (revision, max(known, cutoff, key=lambda item: item.before))
            if len(self._pushed) > PUSHED_MAX:
                del self._pushed[next(iter(self._pushed))]

    def replace(self, revision: Revision, cutoffs: Iterable[Cutoff]) -> None:
        """Takes the cut-offs of a new config."""
        table: dict[_Key, Cutoff] = {}
        for cutoff in cutoffs:
            key = (cutoff.device, cutoff.resource)
            table[key] = max(table.get(key, cutoff), cutoff, key=lambda item: item.before)
        self._config = table
        self._pushed = {key: item for key, item in self._pushed.items() if item[0] > revision}

    def refusal(self, device: DeviceId, resource: ResourceId | None, issued_at: int) -> Reason | None:
        """Returns why flows that rest on a token issued at ``issued_at`` must end, None when they may go on.

        ``resource`` None asks about the device as a whole: only cut-offs for every resource count.
        """
        keys: list[_Key] = [(device, None)]
        if resource is not None:
            keys.append((device, resource))
        for key in keys:
            pushed = self._pushed.get(key)
            for cutoff in (self._config.get(key), pushed[1] if pushed is not None else None):
                if cutoff is not None and issued_at < cutoff.before:
                    return reason_from_code(cutoff.reason)
        return None
