"""`ostiary admin`: puts the nouns together.

Only the noun that is meant gets its commands, because typer takes some milliseconds for each option of each command; the
others are there by name and help.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from client.cli import admin_plans, admin_sign_in
from runtime.command_line import command_group

HELP: Final = """Administer the network: connectors, resources, people, grants, audit.

\b
First steps:
  ostiary admin login https://ostiary.corp.example
  ostiary admin network create office
  ostiary admin connector create office-1 --network office
  ostiary admin resource create db --network office --address db.corp.internal --tcp 5432
  ostiary admin grant create --to group:engineers --resource db

Things are named by name or id. --json prints one object, or {"items": […]} for a list.
"""
NOUNS: Final = {
    "network": ("admin_places", "network", "Remote networks: places with connectors."),
    "connector": ("admin_places", "connector", "Connectors: they serve a remote network's resources."),
    "relay": ("admin_places", "relay", "Relays: they pair clients and connectors blindly."),
    "resource": ("admin_resources", "resource", "Resources: an address, its ports, its remote network."),
    "user": ("admin_people", "user", "People: accounts, roles, passwords."),
    "group": ("admin_people", "user_group", "Groups of users: what grants are usually given to."),
    "device": ("admin_devices", "device", "Devices: installations of the client."),
    "service-account": (
        "admin_service_accounts",
        "service_account",
        "Service accounts: servers and jobs without a person.",
    ),
    "account": ("admin_account", "account", "Your own account: the second factor."),
    "session": ("admin_account", "session", "Sign-ins of people, and the rules about them."),
    "identity-provider": (
        "admin_identity_providers",
        "identity_provider",
        "Identity providers: where people sign in with OpenID Connect.",
    ),
    "api-token": ("admin_api_tokens", "api_token", "API tokens: credentials for programs, with scopes and an end."),
    "grant": ("admin_grants", "grant", "Grants: who may reach what, perhaps until when."),
    "policy": ("admin_policies", "policy", "Policies: conditions under which grants hold."),
    "exclusion": ("admin_policies", "exclusion", "Exclusions: who may not reach what, whatever grants say."),
    "requests": ("admin_requests", "access_request", "Requests for access: who asks, why, and the answers."),
    "access": ("admin_access", "access", "Access at any time: who could reach what, and why."),
    "connection": ("admin_activity", "connection", "Connections: what was served and what was refused."),
    "event": ("admin_activity", "event", "Events: the audit trail."),
    "enforcement": ("admin_activity", "enforcement", "Who enforces which revision of the policy."),
    "sink": ("admin_sinks", "sink", "Sinks: where connection records and the audit trail are sent to."),
    "key": ("admin_activity", "key", "Signing keys: rotation and emergency distrust."),
}
"""Module, application in it, help."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """Returns the application with the commands of the noun that ``arguments`` (behind ``admin``) name."""
    first = next((item for item in arguments if not item.startswith("-")), "")
    app = command_group(HELP)
    if first not in NOUNS:
        admin_sign_in.declare(app)
        admin_plans.declare(app)
    for name, (module, attribute, text) in NOUNS.items():
        if name == first:
            app.add_typer(getattr(import_module(f"client.cli.{module}"), attribute), name=name, help=text)
        else:
            app.add_typer(placeholder(text), name=name)
    return app


def build_whole() -> typer.Typer:
    """Returns the application with every command, for the reference."""
    app = command_group(HELP)
    admin_sign_in.declare(app)
    admin_plans.declare(app)
    for name, (module, attribute, text) in NOUNS.items():
        app.add_typer(getattr(import_module(f"client.cli.{module}"), attribute), name=name, help=text)
    return app


def placeholder(text: str) -> typer.Typer:
    """Returns a group that is there for its name and help only."""
    empty = command_group(text, without_verb=True)
    empty.callback(invoke_without_command=True)(lambda: None)
    return empty
