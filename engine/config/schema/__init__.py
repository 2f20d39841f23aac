"""The config file as one strict tree: every key we give a meaning, with its default.

Spelling is the reference product's, camelCase in the file, snake_case here. Keys it knows
and we do not use are taken out before this tree is built (`engine.config.walk`). Each
section of the file has its module; the base they share is `base`.
"""

from __future__ import annotations

from pydantic import Field

from engine.config.schema.agents import Agents
from engine.config.schema.base import YET, Section, key, section, table
from engine.config.schema.channels import Channels
from engine.config.schema.conversations import (
    AccessGroup,
    Binding,
    Commands,
    Messages,
    Session,
)
from engine.config.schema.cron import Cron
from engine.config.schema.gateway import Discovery, Gateway
from engine.config.schema.hooks import Hooks
from engine.config.schema.models import Models
from engine.config.schema.process import Env, Logging, Meta, Store
from engine.config.schema.secrets import Secrets
from engine.config.schema.security import Security
from engine.config.schema.tools import Plugins, Tools


class Config(Section):
    """The whole file."""

    schema_: str | None = Field(None, alias="$schema", description="For editors; no effect.")
    meta: Meta = section(Meta, "Stamp of the last write.")
    env: Env = section(Env, "Environment variables.")
    access_groups: dict[str, AccessGroup] = table("People that allow lists name together.")
    agents: Agents = section(Agents, "Agents.")
    bindings: tuple[Binding, ...] = key((), "Which agent gets what arrives where.")
    channels: Channels = section(Channels, "Chat channels.")
    commands: Commands = section(Commands, "Commands in chats and signals.")
    cron: Cron = section(Cron, "Scheduled jobs.")
    discovery: Discovery = section(Discovery, "Being found.", inert=YET)
    gateway: Gateway = section(Gateway, "The one port.")
    hooks: Hooks = section(Hooks, "Requests from outside.")
    logging: Logging = section(Logging, "Logs.")
    messages: Messages = section(Messages, "Messages in general.")
    models: Models = section(Models, "Where answers come from.")
    plugins: Plugins = section(Plugins, "Channels of other packages.")
    secrets: Secrets = section(Secrets, "Where secrets are kept.")
    security: Security = section(Security, "What is checked and accepted.")
    session: Session = section(Session, "Conversations.")
    store: Store = section(Store, "The state database.")
    tools: Tools = section(Tools, "Tools of agents.")
