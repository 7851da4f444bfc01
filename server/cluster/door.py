"""Door: the HTTP of one node, which answers for all of them: what is elsewhere is asked there. ASGI, around the whole app."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from contextlib import suppress

import structlog
from fastapi import FastAPI
from httpx import HTTPStatusError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from server.calls.tokens import Claims, TokenExpired, TokenInvalid, Tokens
from server.channels.withdrawal import Withdrawn, told
from server.cluster.answers import Kept, merged, named, query, replayed, whole, with_query
from server.cluster.avatars import Exchange
from server.cluster.forward import CLIENT, PASS, Forward, bodiless
from server.cluster.members import Report
from server.cluster.membership import Membership
from server.cluster.routing import HERE, Target, Way, target
from server.problems import EXPECTED, Problem, as_problem, busy
from server.routes.access import refused
from server.routes.authority import lets_through
from server.routes.bearer import bearer
from server.settings import Settings

log = structlog.get_logger(__name__)

OF_MEMBERS = ("/api/avatars", "/api/recordings", "/api/engines", "/api/screens")
"What members of a call are let to by its token: by the node that has the call."
AVATAR, SEATS = re.compile(r"/api/avatars/([^/]+)(?:/picture)?"), re.compile(r"/api/calls/[^/]+/seats(?:/[^/]+)?")
CHANGES = re.compile(r"/whip/[^/]+(?:/[^/]+)?|/api/calls(?:/[^/]+)?")
"What begins and ends channels and calls."
TRIES = 3
LIST_SECONDS = 5.0
"That a machine has to list what it has; one that hangs is named as missing."
JSON_BYTES = 64 * 1024
TRY_AGAIN = 1013
"A socket's code (IANA's registry of RFC 6455): nobody can take it now."


class Door:
    """Event loop only."""

    def __init__(
        self, app: FastAPI, settings: Settings, membership: Membership, forward: Forward, exchange: Exchange, tokens: Tokens
    ) -> None:  # fmt: skip
        self._app, self._settings, self._membership = app, settings, membership
        self._here, self._registry = membership.node, membership.registry
        self._forward, self._exchange, self._tokens = forward, exchange, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        scope, internal = self._known(scope)
        scope["state"] = {**(scope.get("state") or {}), "door": internal}
        try:
            await self._answer(scope, receive, send, internal)
        except EXPECTED as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": TRY_AGAIN})
            else:
                await as_problem(error).response()(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, internal: bool) -> None:
        to = self._target(scope, internal)
        match to.way:
            case Way.OWNER:
                await self._at_owner(to.name, scope, receive, send)
            case Way.PLACE:
                await self._placed(to.name, scope, receive, send)
            case Way.GATHER:
                await self._gathered(scope, receive, send)
            case Way.SEEK:
                await self._sought(scope, receive, send)
            case Way.FORGET:
                await self._forgotten(to.name, scope, receive, send)
            case Way.WITHDRAW:
                await self._withdrawn(to.name, scope, receive, send)
            case _:
                await self._locally(scope, receive, send)

    def _target(self, scope: Scope, internal: bool) -> Target:
        """Raises Problem 503 where a load balancer asks whether it may send callers here, and it may not."""
        path, to = scope["path"], target(scope.get("method", "GET"), scope["path"])
        # what a member of a call that goes on here has forgotten is to be gone everywhere
        forgets = to.way in (Way.FORGET, Way.WITHDRAW) and self._lets_member(scope)
        if internal:  # another door has decided already
            return to if forgets else HERE
        if scope["type"] == "http" and path == "/readyz" and self._membership.draining:
            raise busy("draining", "this machine takes nobody any more: it is being emptied", 60)
        if path.startswith(OF_MEMBERS) and (claims := self._claims(scope)) is not None:
            return to if forgets else Target(Way.OWNER, claims.call)
        if to.way in (Way.GATHER, Way.SEEK, Way.FORGET, Way.WITHDRAW) and not self._lets(scope):  # the app says why
            return HERE
        return to

    async def _locally(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By this node's own app, once what it needs of others is here."""
        await self._app(scope, await self._brought(scope, receive), self._told(scope, send))

    async def _at_owner(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        owner = await self._owner(name)
        if owner is None or owner.node == self._here:
            await self._locally(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._forward.socket(owner.door, scope, receive, send)
        else:
            await self._forward.request(owner.door, scope, receive, send)

    async def _placed(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """By the owner of `name`; where there is none, by whichever node has room: the next one, where that one is full after all."""
        owner = await self._owner(name) if name else None
        if owner is None and not self._lets(scope):  # the app says why
            await self._locally(scope, receive, send)
            return
        body = await whole(receive, self._settings.max_sdp_bytes)
        chosen = owner or await self._place(name, ())
        answer, tried = await self._tried(chosen, scope, body, receive), (chosen.node,)
        while answer.again and len(tried) < TRIES:
            try:
                chosen = await self._place(name, tried)
            except Problem:  # nobody else: the refusal that there is says why
                break
            answer, tried = await self._tried(chosen, scope, body, receive), (*tried, chosen.node)
        await answer.give(send)

    async def _tried(self, chosen: Report, scope: Scope, body: bytes, receive: Receive) -> Kept:
        answer, again = Kept(), replayed(body, receive)
        try:
            if chosen.node == self._here:
                await self._locally(scope, again, answer.take)
            else:
                await self._forward.request(chosen.door, scope, again, answer.take)
        except Problem as problem:
            await problem.response()(scope, again, answer.take)
        return answer

    async def _place(self, name: str, tried: tuple[str, ...]) -> Report:
        """Raises Problem 503."""
        if self._membership.away():
            raise busy("directory-away", "the cluster's directory does not answer; who is live stays so. Ask again", 2)
        try:
            chosen = await self._registry.place(name, self._here, tried)
        except ConnectionError:
            raise busy(
                "directory-away", "the cluster's directory does not answer; who is live stays so. Ask again", 2
            ) from None
        if chosen is None:
            raise busy("too-many-callers", "no machine of this cluster has room for one more caller now", 10)
        return chosen

    async def _gathered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What all nodes list; which of them did not answer is said in a header."""
        path, found, missing = with_query(scope), [], []
        own = Kept()
        await self._locally(scope, receive, own.take)
        if own.status != 200:
            await own.give(send)
            return
        others = self._others()
        answers = await asyncio.gather(
            *(self._forward.ask(one.door, "GET", path, scope, timeout=LIST_SECONDS) for one in others),
            return_exceptions=True,
        )
        for one, answer in zip(others, answers, strict=True):
            if isinstance(answer, BaseException) or answer.status_code != 200:
                missing.append(one.node)
            else:
                found.append(answer.json())
        headers = {"Telequilt-Missing": ", ".join(missing)} if missing else {}
        await JSONResponse(merged([json.loads(own.body), *found]), headers=own.kept_headers() | headers)(
            scope, receive, send
        )

    async def _sought(self, scope: Scope, receive: Receive, send: Send) -> None:
        unknown, scope = Kept(), bodiless(scope)
        for one in (None, *self._others()):
            kept = Kept(streams=send)
            with suppress(Problem):
                if one is None:
                    await self._locally(scope, replayed(b"", receive), kept.take)
                else:
                    await self._forward.request(one.door, scope, replayed(b"", receive), kept.take)
            if kept.status not in (0, 404):
                return
            unknown = kept if one is None else unknown
        await unknown.give(send)

    async def _forgotten(self, avatar: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Nobody anywhere may be live with it; then each node deletes what it has and takes it from nobody any more."""
        if await self._live(avatar):
            raise Problem(409, "avatar-live", "somebody is live with this avatar; end that first")
        had, missing = [await self._exchange.forget(avatar)], []
        for one in self._others():
            try:
                answer = await self._forward.ask(one.door, "DELETE", f"/api/cluster/avatars/{avatar}")
                had.append(answer.status_code == 204)
            except Problem:  # it is told when it is heard of again (Members.join)
                missing.append(one.node)
        await self._forgotten_for_good(avatar)
        if not any(had):
            raise _nobody_had(avatar, missing)
        log.info("avatar forgotten", machines=sum(had))
        await Response(status_code=204)(scope, receive, send)

    async def _live(self, avatar: str) -> bool:
        """Whether somebody is, anywhere. Raises Problem 503."""
        try:
            return await self._registry.live(avatar)
        except ConnectionError:
            raise busy(
                "directory-away", "the cluster's directory does not answer, so not every machine could be told", 2
            ) from None

    async def _forgotten_for_good(self, avatar: str) -> None:
        """Machines that were away are told of it too. Last: before, a node would delete it on its own and say that it had none."""
        try:
            await self._registry.forget(avatar)
        except ConnectionError:
            self._membership.join_again()  # with all that is known to be forgotten here

    async def _withdrawn(self, avatar: str, scope: Scope, receive: Receive, send: Send) -> None:
        """No node serves it any more; each ends what shows it there, deletes what it has, and looks what is left."""
        await self._live(avatar)
        each, missing = {self._here: await self._exchange.withdraw(avatar, self._settings)}, []
        for one in self._others():
            try:
                answer = await self._forward.ask(one.door, "POST", f"/api/cluster/avatars/{avatar}/withdrawal")
                each[one.node] = Withdrawn(**answer.raise_for_status().json())
            except (
                Problem,
                HTTPStatusError,
            ):  # it is told when it is heard of again (Members.join), and looks for nobody
                missing.append(one.node)
        await self._forgotten_for_good(avatar)
        if not any(one.had for one in each.values()):
            raise _nobody_had(avatar, missing)
        headers = {"Telequilt-Missing": ", ".join(missing)} if missing else {}
        await JSONResponse(told(each), headers=headers)(scope, receive, send)

    async def _owner(self, name: str) -> Report | None:
        try:
            return await self._registry.owner(name) or await self._taken_up(name)
        except ConnectionError:  # what was heard last: who is live stays so
            return next((one for one in self._membership.nodes if name in one.names), None)

    async def _taken_up(self, call: str) -> Report | None:
        """The node where `call` goes on whose own has died. Two who ask at once choose one, which takes it up once."""
        memory = await self._registry.lost(call)
        if memory is None:
            return None
        chosen = await self._place(call, ())
        answer = await self._forward.ask(chosen.door, "POST", f"/api/cluster/calls/{call}", json=memory)
        if answer.status_code != 204:
            raise busy(
                "node-lost", "the machine that had this call has died, and no other takes it up now; ask again", 1
            )
        return chosen

    def _others(self) -> list[Report]:
        return [one for one in self._membership.nodes if one.node != self._here]

    async def _brought(self, scope: Scope, receive: Receive) -> Receive:
        """Fetches the avatar that a request names. Returns what gives its body, from the beginning again."""
        path, method = scope["path"], scope.get("method", "")
        if found := AVATAR.fullmatch(path):
            await self._exchange.bring(found[1])
        elif method == "POST" and path.startswith("/whip/"):
            await self._exchange.bring(query(scope, "avatar"))
        elif method in ("POST", "PATCH") and SEATS.fullmatch(path):
            body = await whole(receive, JSON_BYTES)
            await self._exchange.bring(named(body))
            return replayed(body, receive)
        return receive

    def _told(self, scope: Scope, send: Send) -> Send:
        """`send`, of which the directory hears first where a channel or a call has begun or ended here."""
        if scope.get("method") not in ("POST", "DELETE") or not CHANGES.fullmatch(scope["path"]):
            return send

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                await self._membership.tell()
            await send(message)

        return sent

    def _lets(self, scope: Scope) -> bool:
        """Whether this node's own guards let it through."""
        return refused(self._settings, scope.get("method", "GET"), scope["path"], Headers(scope=scope)) is None

    def _lets_member(self, scope: Scope) -> bool:
        """Whether a token of a call that goes on here does. Raises Problem 401 where it has expired."""
        return lets_through(HTTPConnection({**scope, "app": self._app}), scope["path"])

    def _claims(self, scope: Scope) -> Claims | None:
        """What a call's token says, whichever node has the call: all sign with one key."""
        token = bearer(Headers(scope=scope))
        try:
            return self._tokens.read(token) if token else None
        except (TokenExpired, TokenInvalid):
            return None

    def _known(self, scope: Scope) -> tuple[Scope, bool]:
        """`scope` without what only doors may say, and whether one has said it: then its client is whom that one names."""
        headers = Headers(scope=scope)
        internal = secrets.compare_digest(headers.get(PASS, "").encode(), self._forward.secret.encode())
        names = (PASS.encode(), CLIENT.encode())
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in names]
        client = (headers.get(CLIENT, ""), 0) if internal else scope.get("client")
        return {**scope, "headers": kept, "client": client}, internal


def _nobody_had(avatar: str, missing: list[str]) -> Problem:
    """`missing`: machines that did not answer."""
    if not missing:
        return Problem(404, "unknown-avatar", f"no avatar {avatar!r} is kept here")
    who = f"{', '.join(missing)} did not answer, and no other machine has avatar {avatar!r}"
    return busy("node-away", f"{who}: it is deleted there once they are heard of again. Ask again to see it gone", 5)
