"""Who enforces which revision since when, so that "revoked everywhere at 14:02:09" is a fact.

An agent that no change has touched since the revision that it enforces is up to date, however long the log has grown.
"""

from dataclasses import dataclass, replace

from protocol.ids import Epoch, Revision


@dataclass(frozen=True, slots=True)
class Enforcement:
    """One agent's line in the table. ``pending_since``: the first revision that touched it and is not acknowledged."""

    agent: str
    epoch: Epoch
    revision: Revision
    since: float
    """Unix seconds of the acknowledgement."""
    pending_since: Revision | None


class EnforcementTable:
    """Remembers the last acknowledgement of every agent, attached or not."""

    def __init__(self) -> None:
        self._lines: dict[str, Enforcement] = {}

    def touch(self, agent: str, revision: Revision) -> None:
        """A change up to ``revision`` touches this agent."""
        line = self.line(agent)
        if line.pending_since is None:
            self._lines[agent] = replace(line, pending_since=revision)

    def acknowledge(self, agent: str, epoch: Epoch, revision: Revision, now: float, *, newest_touch: Revision) -> None:
        """The agent enforces ``revision`` since ``now``; ``newest_touch`` is the last change that touched it."""
        pending = None if revision >= newest_touch else newest_touch
        self._lines[agent] = Enforcement(agent, epoch, revision, now, pending)

    def forget(self, agent: str) -> None:
        """The agent has no standing any more."""
        self._lines.pop(agent, None)

    def line(self, agent: str) -> Enforcement:
        """Returns the agent's line; zeros when it never acknowledged anything."""
        return self._lines.get(agent) or Enforcement(agent, Epoch(0), Revision(0), 0.0, None)

    def lines(self) -> tuple[Enforcement, ...]:
        """Returns the whole table, sorted by agent."""
        return tuple(self._lines[agent] for agent in sorted(self._lines))

    def outstanding(self, revision: Revision) -> tuple[str, ...]:
        """Returns the agents that a change up to ``revision`` touched and that have not said that they enforce it."""
        return tuple(
            agent
            for agent, line in sorted(self._lines.items())
            if line.pending_since is not None and line.pending_since <= revision
        )
