"""The digest of a state: equal for equal logs in any process, different for different ones."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from immutables import Map
from policy_world import World

from controller.domain import commands as c
from controller.domain.model import Role
from controller.domain.state import PolicyState
from controller.domain.state_digest import _plain, counts_of, digest_of

ROOT = Path(__file__).parents[3]


def office() -> World:
    """A policy with something of most kinds."""
    world = World()
    user = world.user(Role.OWNER)
    network = world.network("net")
    world.connector(network)
    world.resource(network)
    world.group(user)
    world.device(user)
    return world


def test_another_event_is_another_digest() -> None:
    world = office()
    before = digest_of(world.state)
    assert before == digest_of(replace(world.state))
    world.do(c.RenameNetwork(next(iter(world.state.networks)), "other"))
    assert digest_of(world.state) != before
    assert digest_of(PolicyState()) != before


def test_maps_of_other_making_have_one_digest() -> None:
    state = office().state
    shuffled = Map(dict(sorted(state.versions.items(), reverse=True)))
    assert digest_of(replace(state, versions=shuffled)) == digest_of(state)


def test_the_digest_does_not_depend_on_the_process() -> None:
    program = (
        "from controller.domain.state import PolicyState; from controller.domain.state_digest import digest_of;"
        "from immutables import Map; names = [f'n{n}' for n in range(500)];"
        "print(digest_of(PolicyState(versions=Map({n: 1 for n in names}), members=Map({n: Map({m: None for m in names[:9]})"
        " for n in names[:9]}))))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_things_are_counted() -> None:
    counts = counts_of(office().state)
    assert (counts["users"], counts["networks"], counts["connectors"], counts["devices"]) == (1, 1, 1, 1)


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        _plain(object())
