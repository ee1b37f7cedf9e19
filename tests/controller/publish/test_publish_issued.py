"""A controller that was killed comes back: clients that missed nothing keep what they have, all others get a new snapshot (D8, F-7)."""

import pytest
from policy_world import START
from publish_office import Office, Peer

from controller.domain import commands as c
from controller.domain.conditions import Conditions
from protocol.control import Message, PushSnapshot
from protocol.ids import DeviceId, Epoch, Revision, UserId
from protocol.limits import SNAPSHOT_LIFE_S

DOWN_S = 10.0


class Company:
    """A laptop and its grants, acknowledged; then the controller is killed."""

    def __init__(self, *, ends_in_s: int | None = None, conditions: Conditions | None = None) -> None:
        self.office = Office()
        world = self.office.world
        self.user: UserId = world.user()
        self.laptop: DeviceId = world.laptop(self.user)
        self.network = world.network()
        policy = world.policy(conditions) if conditions is not None else None
        expires = START + 3600 + ends_in_s if ends_in_s is not None else None
        self.grant = world.grant(self.user, world.resource(self.network), policy=policy, expires=expires)
        self.office.clock.advance(START + 3600 - self.office.clock.wall())
        world.now_ms = int(self.office.clock.wall() * 1000)
        self.office.commit()
        self.office.restart()
        assert isinstance(self.office.client(self.laptop).take_all()[0], PushSnapshot)
        self.revision = self.office.head.position
        self.acknowledged_at = self.office.clock.wall()

    def come_back(
        self, *, down_s: float = DOWN_S, revision: int | None = None, epoch: int = 1, address: str | None = None
    ) -> list[Message]:
        """The controller starts again ``down_s`` later, and the laptop is there at once; returns what it is sent."""
        self.office.clock.advance(down_s)
        self.office.restart()
        ack = (str(self.laptop), Epoch(epoch), Revision(self.revision), self.acknowledged_at)
        self.office.hub.restore([ack])
        return self.peer(revision, address).take_all()

    def peer(self, revision: int | None = None, address: str | None = None) -> Peer:
        self.last = self.office.client(
            self.laptop, revision=self.revision if revision is None else revision, address=address
        )
        return self.last

    def is_sent_a_snapshot(self, messages: list[Message]) -> bool:
        assert len(messages) <= 1
        return any(isinstance(message, PushSnapshot) for message in messages)


def test_f7_a_client_that_missed_nothing_keeps_its_snapshot_over_a_restart() -> None:
    company = Company()
    company.office.world.group()
    company.office.commit()
    assert company.come_back() == []
    assert company.office.hub.enforcement.line(company.laptop).pending_since is None


def test_d8_what_was_missed_while_the_controller_was_away_comes_at_once() -> None:
    company = Company()
    company.office.give(c.RevokeGrant(company.grant))
    assert company.is_sent_a_snapshot(company.come_back())


@pytest.mark.parametrize(("other_code_s_ago", "kept"), [(3600.0, True), (-1.0, False)])
def test_d8_what_other_code_evaluated_is_not_taken_for_right(other_code_s_ago: float, kept: bool) -> None:
    company = Company()
    office = company.office
    office.clock.advance(DOWN_S)
    office.restart()
    ack = (str(company.laptop), Epoch(1), Revision(company.revision), company.acknowledged_at)
    office.hub.restore([ack], same_code_since=company.acknowledged_at - other_code_s_ago)
    assert company.is_sent_a_snapshot(company.peer().take_all()) is not kept


async def test_d8_a_change_after_the_restart_and_before_the_client_is_back_counts() -> None:
    company = Company()
    office = company.office
    office.restart()
    office.hub.restore([(str(company.laptop), Epoch(1), Revision(company.revision), company.acknowledged_at)])
    witness = office.world.laptop(office.world.user())
    async with office.running():
        office.commit()
        seen = office.client(witness)
        seen.take_all()
        office.world.grant(company.user, office.world.resource(company.network))
        office.world.grant(office.world.state.devices[witness].owner.id, office.world.resource(company.network))
        office.commit()
        await seen.next()
        assert company.is_sent_a_snapshot(company.peer().take_all())


@pytest.mark.parametrize("wrong", [{"revision": 0}, {"revision": 1}, {"epoch": 2}])
def test_what_the_client_says_must_be_what_it_acknowledged(wrong: dict[str, int]) -> None:
    company = Company()
    assert company.is_sent_a_snapshot(company.come_back(**wrong))


@pytest.mark.parametrize(("ends_in_s", "down_s"), [(600, 601.0), (5, 10.0)])
def test_t36_what_time_took_while_the_controller_was_away_is_not_kept(ends_in_s: int, down_s: float) -> None:
    company = Company(ends_in_s=ends_in_s)
    assert company.is_sent_a_snapshot(company.come_back(down_s=down_s))


def test_an_end_that_is_still_to_come_is_no_reason_for_another_snapshot() -> None:
    company = Company(ends_in_s=600)
    assert company.come_back() == []
    company.office.clock.advance(600)
    company.office.hub.tick()
    assert company.is_sent_a_snapshot(company.last.take_all())


def test_t36_where_place_decides_nothing_is_kept() -> None:
    company = Company(conditions=Conditions(sources=("192.0.2.0/24",)))
    assert company.is_sent_a_snapshot(company.come_back(address="198.51.100.7"))


def test_a_snapshot_is_renewed_at_its_own_age_however_often_its_client_comes_back() -> None:
    company = Company()
    assert company.come_back(down_s=SNAPSHOT_LIFE_S / 4) == []
    office = company.office
    office.hub.detach(company.last.attachment)
    office.clock.advance(SNAPSHOT_LIFE_S / 4 + 1)
    assert company.is_sent_a_snapshot(company.peer().take_all())
    office.hub.detach(company.last.attachment)
    assert company.come_back(down_s=SNAPSHOT_LIFE_S / 2 + 1) != []
