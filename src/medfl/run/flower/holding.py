"""What the SuperLink holds, message by message: each is stored whole and given whole, in one transaction of its own.

All that is done here is done by the methods of Flower's state and of its handlers, in another order than Flower's own
calls do it: objects first, then the message, so that nobody fetches one that is still coming.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import TypeAlias

from flwr.common.serde import message_from_proto
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.inflatable.inflatable_object import get_object_id, iterate_object_tree
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers

from medfl.errors import WireError
from medfl.run.flower.frames import ROOM

log = logging.getLogger(__name__)
Announced: TypeAlias = tuple[MessageProto, ObjectTree]
"""A message without what it holds, and the digests of the objects that it is made of."""


class Holding:
    """The SuperLink's messages.

    Parameters
    ----------
    state
        Flower's state, in a database on disk.
    """

    def __init__(self, state: SqlLinkState) -> None:
        self.state = state
        # SQLite lets one write at a time, and who finds it busy sleeps before it looks again.
        self._turn = Lock()

    def answered(self, message: Announced, contents: Iterable[bytes]) -> list[str]:
        """Take a site's answer; return which of its objects are missing. What nobody waits for is dropped.

        Raises
        ------
        WireError
            If its objects are not what they are said to be.
        """
        with self._turn:
            offered = _named(contents)
            if _parts([message]) <= offered.keys():
                self._stored([message], offered)
                return []
            # Looked at before anything of it is kept: it may come in hundreds of calls.
            return self._grown([message], offered)[1] if self._wanted(message) else []

    def asked(self, messages: Sequence[Announced], contents: Iterable[bytes]) -> tuple[list[str], list[str]]:
        """Take a run's requests; return their ids, empty where a site is unknown, or which objects are missing.

        Raises
        ------
        WireError
            If their objects are not what they are said to be.
        """
        with self._turn:
            offered = _named(contents)
            if _parts(messages) <= offered.keys():
                return self._stored(messages, offered), []
            return self._grown(messages, offered)

    def for_site(self, asked: PullMessagesRequest) -> tuple[PullMessagesResponse, list[bytes]]:
        """Return a site's next request, if there is one, and its objects where one call holds them."""
        with self._turn, self.state.session():
            found = fleet_handlers.pull_messages(asked, self.state, self.state.object_store)
            return found, self._given(found)

    def for_run(self, asked: PullAppMessagesRequest, task: Task) -> tuple[PullAppMessagesResponse, list[bytes]]:
        """Return what has been answered of a run's requests, and the objects where one call holds them."""
        with self._turn, self.state.session():
            found = runtime_handlers.pull_messages(asked, self.state, task)
            return found, self._given(found)

    def _grown(self, messages: Sequence[Announced], offered: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
        """Keep objects of messages that come in several calls; store the messages once nothing is missing."""
        missing: dict[str, None] = {}
        for message, tree in messages:
            run = message.metadata.run_id
            with self.state.session():
                session = self.state.start_session(run)
                for name in self.state.preregister_object_tree(tree, session):
                    if name not in offered or not self.state.store_object(run, session, name, offered[name]):
                        missing[name] = None
        return ([], list(missing)) if missing else (self._stored(messages, offered), [])

    def _stored(self, messages: Sequence[Announced], offered: Mapping[str, bytes]) -> list[str]:
        """Store messages whose objects are all here or offered; return their ids, empty where nobody wants one."""
        state, ids = self.state, []
        with state.session():
            for message, tree in messages:
                about = message_from_proto(message)
                reply = bool(message.metadata.reply_to_message_id)
                taken = state.store_message_res(about) if reply else state.store_message_ins(about)
                ids.append(taken or "")
                if taken is None:
                    if reply:
                        log.warning("%s", _unwanted(message))
                    continue
                # Without the bookkeeping that Flower has for what is still coming: here nothing is.
                for name in state.object_store.preregister(message.metadata.run_id, tree):
                    if name not in offered:
                        raise WireError("a message lacks an object")
                    state.object_store.put(name, offered[name])
        return ids

    def _wanted(self, message: Announced) -> bool:
        """Say whether somebody waits for an answer, by storing it and taking it back."""
        wanted = False
        with suppress(_TakenBackError), self.state.session():
            wanted = self.state.store_message_res(message_from_proto(message[0])) is not None
            raise _TakenBackError
        return wanted

    def _given(self, found: PullMessagesResponse | PullAppMessagesResponse) -> list[bytes]:
        """Return the objects of the messages that one call holds, and forget them; the others are asked for."""
        store, room = self.state.object_store, ROOM
        given: list[bytes] = []
        for message, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            contents = []
            for part in iterate_object_tree(tree):
                content = store.get(part.object_id) or b""
                room -= len(content)
                if room < 0:
                    return given
                contents.append(content)
            given += contents
            store.delete(message.metadata.message_id)
        return given


def _unwanted(message: MessageProto) -> str:
    node, run = message.metadata.src_node_id, message.metadata.run_id
    return f"nobody waits for what node {node} answers in run {run}: late, twice, or for another site"


class _TakenBackError(Exception):
    """Nothing of this is to be kept."""


def _named(contents: Iterable[bytes]) -> dict[str, bytes]:
    return {get_object_id(content): content for content in contents}


def _parts(messages: Iterable[Announced]) -> set[str]:
    return {part.object_id for _, tree in messages for part in iterate_object_tree(tree)}
