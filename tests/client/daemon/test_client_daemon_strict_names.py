"""Guarded names outlive sessions and restarts, and follow the newest whitelist (T-55)."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_policy import entry, snapshot

from client.core.dns_guard import NameGuard, withheld_patterns
from client.daemon.accounts import ACTIVE_FILE, FOLDER
from client.daemon.identity import NAMES_FILE, IdentityStore
from client.daemon.strict_names import StrictNames
from runtime.files import StateDir

LIST = replace(
    snapshot(entry("wiki.internal"), entry("10.0.0.0/8", number=2)), withheld=withheld_patterns(["*.lab.internal"])
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.ensure()
    return made


def names(state: StateDir, *, strict: bool = True) -> StrictNames:
    made = StrictNames(state, NameGuard(strict=strict))
    made.load()
    return made


def test_t55_names_of_the_whitelist_and_withheld_ones_are_guarded_after_a_restart(state: StateDir) -> None:
    names(state).follow(LIST)
    again = names(state)
    assert again.guard.domains() == ("lab.internal", "wiki.internal")
    assert not again.guard.covers("other.internal")


def test_t55_signing_out_opens_nothing(state: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    kept.follow(None)
    assert kept.guard.covers("wiki.internal")


def test_t55_a_stored_whitelist_keeps_what_was_withheld(state: StateDir) -> None:
    names(state).follow(LIST)
    again = names(state)
    again.follow(replace(LIST, withheld=None))
    assert again.guard.covers("x.lab.internal")
    again.follow(replace(LIST, withheld=()))
    assert not again.guard.covers("x.lab.internal")
    assert not names(state).guard.covers("x.lab.internal")


def test_another_controller_begins_anew(state: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    IdentityStore(state).wipe()
    kept.follow(None)
    assert kept.guard.domains() == ()


@pytest.fixture
def acme(state: StateDir) -> StateDir:
    made = StateDir(state.path / FOLDER / "acme")
    made.ensure()
    return made


def switch(root: StateDir, name: str) -> None:
    root.write_json(ACTIVE_FILE, {"account": name})


def test_t55_another_accounts_whitelist_opens_nothing_of_the_first(state: StateDir, acme: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    switch(state, "acme")
    kept.follow(None)
    kept.follow(replace(snapshot(entry("shop.acme")), withheld=()))
    assert kept.guard.domains() == names(state).guard.domains() == ("lab.internal", "shop.acme", "wiki.internal")
    kept.follow(replace(snapshot(entry("wiki.internal")), withheld=()))
    switch(state, "default")
    kept.follow(replace(LIST, acl=snapshot().acl))
    assert kept.guard.domains() == names(state).guard.domains() == ("lab.internal", "wiki.internal")


def test_an_account_that_is_wiped_takes_only_its_own_names_along(state: StateDir, acme: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    switch(state, "acme")
    kept.follow(snapshot(entry("shop.acme")))
    IdentityStore(acme).wipe()
    kept.follow(None)
    assert kept.guard.domains() == ("lab.internal", "wiki.internal")


def test_forgetting_is_for_all_accounts(state: StateDir, acme: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    switch(state, "acme")
    kept.follow(snapshot(entry("shop.acme")))
    kept.forget()
    assert kept.guard.domains() == names(state).guard.domains() == ()


def test_forgetting_is_for_good(state: StateDir) -> None:
    kept = names(state)
    kept.follow(LIST)
    kept.forget()
    assert kept.guard.domains() == names(state).guard.domains() == ()


def test_a_damaged_file_guards_nothing_and_is_written_anew(state: StateDir) -> None:
    state.write(NAMES_FILE, "{")
    kept = names(state)
    assert kept.guard.domains() == ()
    kept.follow(LIST)
    assert names(state).guard.covers("wiki.internal")


def test_without_strict_dns_no_file_is_written(state: StateDir) -> None:
    names(state, strict=False).follow(LIST)
    assert not state.exists(NAMES_FILE)
