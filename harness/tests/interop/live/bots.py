"""Bots with media of their own, through the public binding: the blob of the answer is an offer
of WebRTC. What they are told comes by webhook; what they do is Graph's."""

import asyncio
import base64
import json
import re
import struct

from aiohttp import ClientSession, web
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

APP = "11111111-1111-4111-8111-111111111111"
TENANT = "33333333-3333-4333-8333-333333333333"


def blob(kind, sdp):
    return base64.b64encode(json.dumps({"type": kind, "sdp": sdp}).encode()).decode()


def read(text):
    return json.loads(base64.b64decode(text))


class Platform:
    """The API, with a token."""

    def __init__(self, base, session):
        self.base, self.session, self.token = base, session, None

    async def log_in(self):
        form = {"grant_type": "client_credentials", "client_id": APP,
                "client_secret": "demonstration", "scope": "https://graph.microsoft.com/.default"}
        url = f"{self.base}/{TENANT}/oauth2/v2.0/token"
        async with self.session.post(url, data=form) as response:
            self.token = (await response.json())["access_token"]

    async def ask(self, method, path, body=None):
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"{self.base}{path}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            assert response.status < 300, f"{method} {path}: {response.status} {text}"
            return json.loads(text) if text else None


class Bot:
    """Answers calls in the way of `answer`, and keeps what it is told."""

    def __init__(self, platform, answer):
        self.platform, self.answer = platform, answer
        self.states, self.calls, self.faults = [], [], []

    async def start(self, port):
        app = web.Application()
        app.router.add_post("/api/calls", self.told)
        app.router.add_get("/prompt.wav", self.prompt)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()
        self.base = f"http://127.0.0.1:{port}"

    async def prompt(self, _request):
        return web.Response(body=self.wav, content_type="audio/wav")

    async def told(self, request):
        for value in (await request.json()).get("value", []):
            data = value.get("resourceData") or {}
            if isinstance(data, dict) and data.get("state"):
                call = value["resourceUrl"].rsplit("/", 1)[-1]
                self.states.append((call, data["state"]))
                asyncio.ensure_future(self.heard(call, data))
        return web.Response(status=202)

    async def heard(self, call, data):
        try:
            await self.answer(self, call, data)
        except Exception as error:  # Said at the end of the test.
            self.faults.append(repr(error))

    async def stop(self):
        await self.runner.cleanup()


async def service_hosted(bot, call, data):
    """The platform handles media: a prompt is played once the call is there."""
    path = f"/v1.0/communications/calls/{call}"
    if data["state"] == "incoming":
        media = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
        await bot.platform.ask("POST", f"{path}/answer", {
            "callbackUri": f"{bot.base}/api/calls", "acceptedModalities": ["audio"],
            "mediaConfig": media})
    elif data["state"] == "established":
        info = {"uri": f"{bot.base}/prompt.wav"}
        await bot.platform.ask("POST", f"{path}/playPrompt", {
            "prompts": [{"@odata.type": "#microsoft.graph.mediaPrompt", "mediaInfo": info}]})


class Later(MediaStreamTrack):
    """What comes in on another track, once that one is there."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.source = asyncio.get_running_loop().create_future()

    async def recv(self):
        return await (await asyncio.shield(self.source)).recv()


class Viewer:
    """A person on aiortc in a meeting, who says nothing and looks at whoever speaks, in pictures of
    so many lines at most."""

    def __init__(self, lines_max):
        self.lines_max, self.heights = lines_max, []
        self.connection = RTCPeerConnection()

    async def join(self, rig, user, meeting):
        connection = self.connection
        for kind in ("audio", "video"):
            connection.addTransceiver(kind, direction="recvonly")

        @connection.on("track")
        def on_track(track):
            if track.kind == "video":
                self.looking = asyncio.ensure_future(self.look(track))

        await connection.setLocalDescription(await connection.createOffer())
        leg = (await rig.control("POST", "/rig/legs", {
            "user": user, "meeting": meeting, "offer": connection.localDescription.sdp}))["leg"]
        for _ in range(100):
            async with rig.session.get(f"{rig.base}/rig/legs/{leg}/answer.sdp") as response:
                text = await response.text()
            if response.status == 200:
                break
            await asyncio.sleep(0.1)
        await connection.setRemoteDescription(RTCSessionDescription(text, "answer"))
        while connection.connectionState != "connected":
            await asyncio.sleep(0.05)
        # An application's packet of RTCP: on the second line whoever speaks, not larger than that.
        said = struct.pack("!BBHI4sII", 0x80 | 1, 204, 4, 1, b"VIEW", 0, self.lines_max)
        await connection.getTransceivers()[1].receiver.transport._send_rtp(said)

    async def look(self, track):
        while True:
            self.heights.append((await track.recv()).height)

    async def leave(self):
        self.looking.cancel()
        await self.connection.close()


class Watcher:
    """The sample bot `gallery`: built on the SDK, with media by the `webrtc` crate."""

    process = None

    async def join(self, binary, rig, link, lines_max):
        self.process = await asyncio.create_subprocess_exec(
            binary, "bot", "gallery", "--platform", rig.base, "--listen", "127.0.0.1:3982",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        asked = {"link": link, "lines": lines_max}
        for tries in range(100):
            try:
                async with rig.session.post("http://127.0.0.1:3982/watch", json=asked) as response:
                    assert response.status < 300, response.status
                    return
            except OSError:
                await asyncio.sleep(0.1)
        raise AssertionError("the bot does not listen")

    async def leave(self):
        """How many pictures it saw of so many lines; the meeting must be over."""
        await asyncio.sleep(1)
        self.process.terminate()
        said = (await self.process.communicate())[0].decode()
        found = re.search(r"pictures=\{([^}]*)\}", said)
        assert found, said
        pairs = (pair.split(":") for pair in found.group(1).split(",") if pair.strip())
        return {int(lines): int(count) for lines, count in pairs}

    def close(self):
        if self.process and self.process.returncode is None:
            self.process.kill()


class Aiortc:
    """An echo on aiortc: decodes, and encodes again what it got."""

    def __init__(self):
        self.connections = {}
        self.relay = MediaRelay()

    async def __call__(self, bot, call, data):
        if data["state"] == "incoming":
            await self.take(bot, call)
        elif data["state"] == "terminated":
            connection = self.connections.pop(call, None)
            if connection:
                await connection.close()
        elif call in self.connections:
            await self.settle(bot, call)

    async def take(self, bot, call):
        connection = RTCPeerConnection()
        self.connections[call] = connection
        echoes = {kind: Later(kind) for kind in ("audio", "video")}
        for echo in echoes.values():
            connection.addTrack(echo)

        @connection.on("track")
        def on_track(track):
            echoes[track.kind].source.set_result(self.relay.subscribe(track))

        await connection.setLocalDescription(await connection.createOffer())
        await bot.platform.ask("POST", f"/v1.0/communications/calls/{call}/answer", {
            "callbackUri": f"{bot.base}/api/calls",
            "acceptedModalities": ["audio", "video"],
            "mediaConfig": {
                "@odata.type": "#microsoft.graph.appHostedMediaConfig",
                "blob": blob("offer", connection.localDescription.sdp)}})
        await self.settle(bot, call)

    async def settle(self, bot, call):
        """The platform's answer stands in the call once it is being set up."""
        connection = self.connections[call]
        if connection.signalingState != "have-local-offer":
            return
        found = await bot.platform.ask("GET", f"/v1.0/communications/calls/{call}")
        answer = (found.get("mediaConfig") or {}).get("blob")
        if answer and connection.signalingState == "have-local-offer":
            text = read(answer)
            if text["type"] == "answer":
                await connection.setRemoteDescription(
                    RTCSessionDescription(text["sdp"], "answer"))
