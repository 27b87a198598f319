"""A voice menu in Python, written from the Graph documentation: it answers, plays a
menu, plays it again on 1 and hangs up on 9. aiohttp and PyJWT, nothing of callrig's.

    python bot.py                       # in order
    MISTAKES=all python bot.py          # with mistakes that are often made

Where things are comes from the environment; the defaults are those of callrig:
GRAPH, LOGIN, OPENID, APP_ID, APP_SECRET, TENANT, PORT.
"""

import asyncio
import io
import os
import time
import uuid
import wave

import aiohttp
import jwt
from aiohttp import web

PLATFORM = os.environ.get("PLATFORM", "http://127.0.0.1:9440")
GRAPH = os.environ.get("GRAPH", PLATFORM) + "/v1.0"
LOGIN = os.environ.get("LOGIN", PLATFORM)
OPENID = os.environ.get("OPENID", PLATFORM + "/v1/.well-known/OpenIdConfiguration")
APP_ID = os.environ.get("APP_ID", "11111111-1111-4111-8111-111111111111")
APP_SECRET = os.environ.get("APP_SECRET", "demonstration")
TENANT = os.environ.get("TENANT", "common")
PORT = int(os.environ.get("PORT", "3978"))
HOME = f"http://127.0.0.1:{PORT}"
ISSUERS = ["https://api.botframework.com", "https://graph.microsoft.com"]

# Which mistakes are made: for those who want to see them found.
MISTAKES = set(os.environ.get("MISTAKES", "").split(","))


def makes(mistake):
    return mistake in MISTAKES or "all" in MISTAKES


class Keys:
    """The keys that the platform signs notifications with."""

    def __init__(self):
        self.keys = {}
        self.read_at = -60.0
        self.lock = asyncio.Lock()

    async def key(self, session, kid):
        if kid not in self.keys:
            # One look for all who wait.
            async with self.lock:
                await self.read(session, kid)
        return self.keys.get(kid)

    async def read(self, session, kid):
        # A key that is not known may be new; who forges tokens does not make us ask.
        if kid not in self.keys and time.monotonic() - self.read_at > 10:
            self.read_at = time.monotonic()
            async with session.get(OPENID) as answer:
                answer.raise_for_status()
                metadata = await answer.json(content_type=None)
            async with session.get(metadata["jwks_uri"]) as answer:
                answer.raise_for_status()
                published = await answer.json(content_type=None)
            self.keys = {one["kid"]: jwt.PyJWK(one) for one in published["keys"] if "kid" in one}


class Unavailable(Exception):
    """The keys cannot be had now."""


async def believes(app, request):
    """Whether a notification is the platform's."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if makes("tokens"):
        return True
    if scheme.lower() != "bearer":
        return False
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        return False
    try:
        key = await app["keys"].key(app["session"], kid)
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        app["keys"].read_at = -60.0
        raise Unavailable from error
    if key is None:
        return False
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=["RS256"],
            audience=APP_ID,
            issuer=ISSUERS,
            options={"require": ["exp", "aud", "iss", "nbf"]},
            leeway=300,
        )
    except jwt.PyJWTError:
        return False
    return bool(claims.get("tid"))


class Graph:
    """Requests to the API, with a token that is kept as long as it is good."""

    def __init__(self, session):
        self.session = session
        self.token = None
        self.good_until = 0.0
        self.lock = asyncio.Lock()

    async def bearer(self):
        async with self.lock:
            if self.token and time.monotonic() < self.good_until and not makes("token-each"):
                return self.token
            form = {
                "grant_type": "client_credentials",
                "client_id": APP_ID,
                "client_secret": APP_SECRET,
                "scope": "https://graph.microsoft.com/.default",
            }
            pause = 0.5
            for _ in range(5):
                url = f"{LOGIN}/{TENANT}/oauth2/v2.0/token"
                async with self.session.post(url, data=form) as answer:
                    if answer.status == 200:
                        body = await answer.json(content_type=None)
                        self.token = body["access_token"]
                        self.good_until = time.monotonic() + int(body["expires_in"]) - 60
                        return self.token
                    pause = float(answer.headers.get("Retry-After", pause))
                await asyncio.sleep(pause)
                pause *= 2
            raise RuntimeError("no token")

    async def ask(self, method, path, body=None):
        """One request, again when the platform wants it later; its answer's JSON, or None."""
        pause = 0.5
        for attempt in range(4):
            headers = {
                "Authorization": "Bearer " + await self.bearer(),
                "client-request-id": str(uuid.uuid4()),
            }
            url = GRAPH + path
            async with self.session.request(method, url, json=body, headers=headers) as answer:
                if answer.status < 300:
                    return await answer.json(content_type=None) if answer.content_length else {}
                if answer.status == 401 and attempt == 0:
                    self.token = None
                    continue
                if answer.status not in (429, 503):
                    return None
                asked = answer.headers.get("Retry-After")
                pause = float(asked) if asked and not makes("retry-after") else pause
            if makes("retry-after"):
                continue
            await asyncio.sleep(pause)
            pause *= 2
        return None


class Call:
    """One call: what the platform said of it, and what the bot does about it."""

    def __init__(self, graph, call_id):
        self.graph = graph
        self.path = f"/communications/calls/{call_id}"
        self.playing = set()
        self.tones = set()
        self.queue = asyncio.Queue()
        self.active = asyncio.Event()
        self.over = asyncio.Event()
        self.subscribed = False

    async def answer(self):
        await self.graph.ask(
            "POST",
            self.path + "/answer",
            {
                "callbackUri": HOME + "/api/calls",
                "acceptedModalities": ["audio"],
                "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
            },
        )

    async def media(self, action, body):
        if self.over.is_set() and not makes("dead-calls"):
            return None
        if not makes("client-context"):
            body["clientContext"] = str(uuid.uuid4())
        return await self.graph.ask("POST", f"{self.path}/{action}", body)

    async def play(self):
        prompt = {
            "@odata.type": "#microsoft.graph.mediaPrompt",
            "mediaInfo": {
                "@odata.type": "#microsoft.graph.mediaInfo",
                "uri": HOME + "/menu.wav",
                "resourceId": str(uuid.uuid4()),
            },
        }
        await self.media("playPrompt", {"prompts": [prompt]})

    async def menu(self):
        """From the answer to the end."""
        await self.answer()
        await self.active.wait()
        await self.media("subscribeToTone", {})
        await self.play()
        while not self.over.is_set():
            tone = await self.queue.get()
            if tone == "tone1":
                await self.play()
            elif tone == "tone9":
                await self.graph.ask("DELETE", self.path)
                return

    def told(self, data):
        state = str(data.get("state", "")).lower()
        audio = str((data.get("mediaState") or {}).get("audio", "")).lower()
        if state == "established" and audio == "active":
            self.active.set()
        tone = data.get("toneInfo")
        if tone:
            number = tone.get("sequenceId")
            if number not in self.tones or makes("duplicates"):
                self.tones.add(number)
                self.queue.put_nowait(str(tone.get("tone", "")).lower())

    def ended(self):
        self.over.set()
        self.active.set()
        self.queue.put_nowait(None)


async def notified(request):
    app = request.app
    try:
        if not await believes(app, request):
            return web.Response(status=401)
    except Unavailable:
        return web.Response(status=503, headers={"Retry-After": "1"})
    try:
        body = await request.json()
        if isinstance(body, dict) and "callState" in body and "value" not in body:
            return web.Response(status=204)  # Skype's form: the platform tells it again
        items = body["value"]
        assert isinstance(items, list)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return web.Response(status=500 if makes("malformed") else 400)
    for item in items:
        take(app, item)
    return web.Response(status=202)


def take(app, item):
    """One item of a notification; what is not known is not minded."""
    path = str(item.get("resourceUrl") or item.get("resource") or "").split("/")
    if "calls" not in path or path.index("calls") + 1 >= len(path):
        return
    place = path.index("calls") + 1
    call_id, below = path[place], path[place + 1 :]
    data = item.get("resourceData") or {}
    change = str(item.get("changeType", "")).lower()
    if below or not isinstance(data, dict):
        return
    calls = app["calls"]
    new = call_id not in calls and call_id not in app["ended"]
    if change == "created" and (new or makes("duplicates")):
        calls[call_id] = Call(app["graph"], call_id)
        task = asyncio.create_task(calls[call_id].menu())
        app["tasks"].add(task)
        task.add_done_callback(app["tasks"].discard)
    elif call_id in calls and change == "deleted":
        calls.pop(call_id).ended()
        app["ended"].add(call_id)
    elif call_id in calls:
        calls[call_id].told(data)


async def menu_file(_):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000 if makes("prompt") else 16000)
        samples = (abs(n % 40 - 20) * 800 - 8000 for n in range(16000))
        out.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in samples))
    return web.Response(body=file.getvalue(), content_type="audio/wav")


async def live(app):
    timeout = aiohttp.ClientTimeout(total=20)
    app["session"] = aiohttp.ClientSession(timeout=timeout)
    app["graph"] = Graph(app["session"])
    yield
    await app["session"].close()


def main():
    app = web.Application(client_max_size=4 << 20)
    app.update(keys=Keys(), calls={}, ended=set(), tasks=set())
    app.cleanup_ctx.append(live)
    app.router.add_post("/api/calls", notified)
    app.router.add_get("/menu.wav", menu_file)
    web.run_app(app, host="127.0.0.1", port=PORT, access_log=None)


if __name__ == "__main__":
    main()
