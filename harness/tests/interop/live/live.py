"""Real browsers and bots of other makers meet on `callrig serve`, and what they see and hear is
looked at: a marker in the sound and one in the picture leave, and have to come back.

    live.py CALLRIG [step ...]        aiortc gstreamer judged prompt rung tcp record conference layers screen; all of them without a name
"""

import asyncio
import json
import math
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import wave

from aiohttp import ClientSession

import bots
from browser import MEASURE, STATS, Browser, counted, delays

ANN, BOB, CAT = (f"22222222-2222-4222-8222-22222222222{n}" for n in (2, 3, 4))
RED, BLUE = (90, 240), (240, 110)


class Rig:
    """`callrig serve`, with a bot of ours at its webhook."""

    async def __aenter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.argv[1], "serve", "--listen", "127.0.0.1:0", "--bot", "http://127.0.0.1:3979/api/calls",
             "--log", "warn"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        self.base = re.search(r"http://\S+", line).group(0)
        asyncio.get_running_loop().run_in_executor(None, self.process.stdout.read)
        self.session = ClientSession()
        self.platform = bots.Platform(self.base, self.session)
        await self.platform.log_in()
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        self.process.terminate()
        self.process.wait(20)
        self.log.seek(0)
        said = self.log.read().decode()
        if said:
            print(said, file=sys.stderr)

    async def control(self, method, path, body=None):
        async with self.session.request(method, self.base + path, json=body) as response:
            text = await response.text()
            assert response.status < 300, f"{method} {path}: {response.status} {text}"
            return json.loads(text) if text.startswith(("{", "[")) else text

    async def meeting(self):
        asked = {"subject": "all of us", "lobbyBypassSettings": {"scope": "everyone"}}
        made = await self.platform.ask("POST", f"/v1.0/users/{ANN}/onlineMeetings", asked)
        self.link = made["joinWebUrl"]
        return made["id"]


def tone(pitch):
    """Two seconds of a tone as the platform plays it: WAV, one channel, 16 bits, 16 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file.name, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(16_000)
            samples = (int(8_000 * math.sin(2 * math.pi * pitch * n / 16_000)) for n in range(32_000))
            written.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
        return open(file.name, "rb").read()


def report(step, **figures):
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
    print(f"live: {step}: {shown}", flush=True)


def milliseconds(found):
    return f"{statistics.median(found):.0f} ms (of {len(found)}, {min(found):.0f} to {max(found):.0f})"


async def talk(page, seconds):
    await page.until("window.callrig.phone.connection?.connectionState === 'connected'", "connected")
    await page.run(MEASURE)
    await asyncio.sleep(seconds)
    return await page.run("window.measured"), await page.run(STATS)


async def echo(rig, answer, name):
    """Chromium as a user, at the page that is served, calls a bot with media of its own."""
    bot = bots.Bot(rig.platform, answer)
    await bot.start(3979)
    browser = Browser()
    try:
        page = await browser.open(rig.base + "/")
        await page.run("document.getElementById('call').click()")
        try:
            measured, stats = await talk(page, 14)
        except AssertionError as error:
            raise AssertionError(f"{error}; the bot: {bot.faults} {bot.states}") from None
        heard = delays(measured["heard"]["sent"], measured["heard"]["back"])
        # The page shows its own picture up to a frame after it was sent.
        seen = delays(measured["seen"]["sent"], measured["seen"]["back"], early=34)
        # The line of screens has a stream as well, of which nothing comes.
        video = max(counted(stats, "inbound-rtp", "video"), default={},
                    key=lambda one: one["packetsReceived"])
        [audio] = counted(stats, "inbound-rtp", "audio")
        timeline = await page.run("document.querySelectorAll('#timeline li').length")
        rows = await page.run("document.querySelectorAll('#figures tbody tr').length")
        codecs = sorted({one["mimeType"] for one in stats if one["type"] == "codec"})
        report(f"echo by {name}", sound_back_after=milliseconds(heard or [-1]),
               picture_back_after=milliseconds(seen or [-1]),
               frames=video.get("framesDecoded", 0), freezes=video.get("freezeCount"),
               sound_packets=audio["packetsReceived"], lost=audio["packetsLost"],
               timeline=timeline, statistics=rows, codecs=codecs)
        assert not bot.faults, bot.faults
        # A machine with other work loses a marker now and then; what is lost is no delay.
        assert len(heard) >= 2 and len(seen) >= 2, measured
        assert "video/H264" in codecs and "audio/opus" in codecs
        assert timeline > 5 and rows >= 4
        await page.run("document.getElementById('end').click()")
        await page.until("!window.callrig.phone.connection", "hung up")
        for _ in range(50):
            if any(state == "terminated" for _, state in bot.states):
                break
            await asyncio.sleep(0.1)
        assert any(state == "terminated" for _, state in bot.states), bot.states
    finally:
        browser.close()
        await bot.stop()


async def gstreamer(rig):
    from gst import Gstreamer  # Its bindings are the system's: they may not be there.

    await echo(rig, Gstreamer(), "GStreamer webrtcbin")


class Later(bots.Platform):
    """The API, once it is there: whoever judges a bot brings its own."""

    async def ask(self, *asked):
        if self.token is None:
            await self.log_in()
        return await super().ask(*asked)


# What these two really do: libx264 under aiortc makes no IDR picture of a forced I picture, and
# an echo in one GStreamer pipeline asks itself for it.
KNOWN = {"bot/own-media/key-frame"}


async def judged(rig):
    """The same echoes, packet by packet, by `callrig validate --bot`."""
    from gst import Gstreamer

    for name, answer in [("aiortc", bots.Aiortc()), ("GStreamer webrtcbin", Gstreamer())]:
        with tempfile.TemporaryDirectory() as out:
            bot = bots.Bot(Later("http://127.0.0.1:3981", rig.session), answer)
            await bot.start(3980)
            validate = await asyncio.create_subprocess_exec(
                sys.argv[1], "validate", "--bot", f"{bot.base}/api/calls", "--profile", "echo",
                "--listen", "127.0.0.1:3981", "--case", "bot/own-media/**", "--format", "json",
                "--out", out, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await asyncio.wait_for(validate.wait(), 120)
            await bot.stop()
            with open(f"{out}/report.json") as file:
                results = json.load(file)["results"]
        of = {verdict: [r["id"] for r in results if r["verdict"] == verdict]
              for verdict in ("pass", "fail", "warn", "error")}
        unsure = [f"{r['id']}: {r.get('reason')}" for r in results if r["verdict"] == "error"]
        report(f"{name} judged", **{verdict: len(ids) for verdict, ids in of.items()},
               not_judged=unsure)
        broken = set(of["fail"] + of["warn"]) - KNOWN
        assert len(of["pass"]) >= 20 and not broken, f"{name}: {results}"


async def call(_, page):
    await page.run("document.getElementById('call').click()")


async def prompted(rig, step, before, told, begin=call):
    """A bot whose media the platform handles plays a prompt; the browser hears its pitch. `before` runs in the page before
    the call, `told` says what else to report of the statistics, and fails if it should; `begin` begins the call."""
    bot = bots.Bot(rig.platform, bots.service_hosted)
    bot.wav = tone(700)
    await bot.start(3979)
    browser = Browser()
    try:
        page = await browser.open(rig.base + "/")
        await page.run(before)
        await begin(bot, page)
        measured, stats = await talk(page, 4)
        pitches = measured["heard"]["pitches"]
        report(step, heard=pitches, **told(stats))
        assert not bot.faults, bot.faults
        assert pitches and max(pitches, key=pitches.get) == "700", pitches
        await page.run("document.getElementById('end').click()")
        await page.until("!window.callrig.phone.connection", "hung up")
    finally:
        browser.close()
        await bot.stop()


def taken(stats):
    return {"packets": counted(stats, "inbound-rtp", "audio")[0]["packetsReceived"]}


async def prompt(rig):
    """Sound alone, however it comes."""
    await prompted(rig, "prompt", "document.getElementById('video').checked = false", taken)


async def rung(rig):
    """The bot calls Ann, who takes the call in her browser, and hangs up."""
    async def begin(bot, page):
        asked = {
            "@odata.type": "#microsoft.graph.call", "callbackUri": f"{bot.base}/api/calls",
            "requestedModalities": ["audio"], "tenantId": bots.TENANT,
            "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
            "targets": [{"identity": {"user": {"id": ANN}}}]}
        await rig.platform.ask("POST", "/v1.0/communications/calls", asked)
        await page.until("!document.getElementById('rings').hidden", "it rings")
        await page.run("document.getElementById('take').click()")

    await prompted(rig, "rung", "0", taken, begin)


# A network that lets nothing through but TCP: what the platform says of UDP is not heard.
TCP_ALONE = r"""
const set = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  const kept = description.sdp.split(/\r\n/).filter((line) => !/^a=candidate:.* udp /i.test(line));
  return set.call(this, { type: description.type, sdp: kept.join("\r\n") });
};
"""


async def tcp(rig):
    """As `prompt`, with all media over TCP."""
    def told(stats):
        used = {one["protocol"] for one in stats
                if one["type"] == "local-candidate" and one.get("protocol") == "tcp"}
        assert used, "no candidate of TCP was used"
        return {"sent": sum(one["packetsSent"] for one in counted(stats, "outbound-rtp", "audio")), "by": sorted(used)}

    await prompted(rig, "tcp", TCP_ALONE, told)


async def recorded(rig, corpora, ident, *arguments):
    """What `callrig corpus record` says of a leg that becomes a recording of these corpora, which are what they say."""
    manifest = os.path.join(corpora, "manifest.toml")
    if not os.path.exists(manifest):
        with open(manifest, "w") as out:
            out.write("schema_version = 1\n")
    recorder = await asyncio.create_subprocess_exec(
        sys.argv[1], "corpus", "--corpora", corpora, "record", "--rig", rig.base, "--id", ident,
        "--licence", "MIT OR Apache-2.0", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complained = await recorder.communicate()
    assert recorder.returncode == 0, complained.decode()
    verified = subprocess.run([sys.argv[1], "corpus", "--corpora", corpora, "verify"], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout
    return said.decode()


async def record(rig):
    """What Chromium sends becomes a recording; CORPORA says of which corpora."""
    with tempfile.TemporaryDirectory() as folder:
        corpora = os.environ.get("CORPORA", folder)
        bot = bots.Bot(rig.platform, bots.Aiortc())
        await bot.start(3979)
        browser = Browser()
        try:
            page = await browser.open(rig.base + "/")
            await page.run("document.getElementById('call').click()")
            await talk(page, 1)
            said = await recorded(
                rig, corpora, "video/chromium-call", "--duration", "6s",
                "--origin", "tones and stripes that wander; sent by Chromium 156 over WebRTC, "
                "recorded by callrig where SRTP is taken off",
                "--tag", "opus", "h264", "chromium", "webrtc", "clean")
            report("record", packets=re.findall(r"packets = (\d+)", said))
            assert not bot.faults, bot.faults
            await page.run("document.getElementById('end').click()")
            await page.until("!window.callrig.phone.connection", "hung up")
        finally:
            browser.close()
            await bot.stop()


async def join(page, user, meeting, listens):
    """Somebody joins a meeting at the page that is served, or only listens and looks."""
    await page.run(f"""
        document.getElementById('user').value = {json.dumps(user)};
        document.getElementById('meeting').value = {json.dumps(meeting)};
        document.getElementById('listen').checked = {json.dumps(listens)};
        document.getElementById('join').click();
    """)


async def meet(rig, people, meeting, way=None):
    """The pages of people who have joined a meeting, those who only listen by a way."""
    pages = []
    for user, browser, listens in people:
        page = await browser.open(rig.base + "/")
        leads = way if listens else None
        if leads:
            await leads.open(page)
        await join(page, user, meeting, listens)
        if leads:
            await leads.lead(page)
        await page.until("window.callrig.phone.connection?.connectionState === 'connected'", user)
        pages.append(page)
    return pages


async def leg_of(rig, user):
    """Where somebody is."""
    legs = (await rig.control("GET", "/rig/legs"))["legs"]
    return next(leg["id"] for leg in legs if leg["party"] == {"user": user})


async def conference(rig):
    """Two speak and show themselves in a meeting, a third only listens and looks."""
    meeting = await rig.meeting()
    tenant = bots.TENANT
    await rig.control("PUT", f"/rig/users/{CAT}", {"name": "Cat", "tenant": tenant})
    people = [(ANN, Browser(600, 0.0, RED), False), (BOB, Browser(1500, 1.5, BLUE), False),
              (CAT, Browser(), True)]
    try:
        pages = await meet(rig, people, meeting)
        found = await asyncio.gather(*(talk(page, 15) for page in pages))
        names = ["Ann", "Bob", "Cat"]
        for name, (measured, stats) in zip(names, found):
            decoded = sum(one.get("framesDecoded", 0) for one in counted(stats, "inbound-rtp", "video"))
            sent = sum(one["packetsSent"] for one in counted(stats, "outbound-rtp", "audio"))
            report(f"conference, {name}", heard=measured["heard"]["pitches"],
                   seen=measured["seen"]["colors"], frames=decoded, sent=sent)
        pitches = [set(p for p, n in m["heard"]["pitches"].items() if n >= 3) for m, _ in found]
        assert "1500" in pitches[0] and "600" not in pitches[0], "Ann hears Bob, not herself"
        assert "600" in pitches[1] and "1500" not in pitches[1], "Bob hears Ann, not himself"
        assert {"600", "1500"} <= pitches[2], "Cat hears both"
        colors = [m["seen"]["colors"] for m, _ in found]
        assert colors[0].get("2", 0) > 30 and not colors[0].get("0"), "Ann sees Bob, not herself"
        assert colors[1].get("0", 0) > 30 and not colors[1].get("2"), "Bob sees Ann, not himself"
        assert colors[2].get("0", 0) > 30 and colors[2].get("2", 0) > 30, "Cat sees both"
    finally:
        for _, browser, _ in people:
            browser.close()


class Way(asyncio.DatagramProtocol):
    """A way of UDP between one browser and the platform, which can be made narrow towards the
    browser: so many bits per second, with a queue of a quarter of a second."""

    # Run in the page: what the platform says of its addresses leads here.
    THROUGH = r"""
const set = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  const kept = description.sdp.split(/\r\n/).filter((line) => !/^a=candidate:.* tcp /i.test(line));
  const sdp = kept.join("\r\n").replace(/^(a=candidate:.* udp \d+) (\S+) (\d+)/gim, (_, start, ip, port) => {
    window.platform ??= [ip, Number(port)];
    return `${start} 127.0.0.1 PORT`;
  });
  return set.call(this, { type: description.type, sdp });
};
"""

    def __init__(self):
        self.bits, self.free, self.browser, self.lost = None, 0.0, None, 0

    async def open(self, page):
        loop = asyncio.get_running_loop()
        self.near, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        await page.run(self.THROUGH.replace("PORT", str(self.near.get_extra_info("sockname")[1])))

    async def lead(self, page):
        platform = await page.until("window.platform", "an answer")
        loop = asyncio.get_running_loop()
        way = self

        class Far(asyncio.DatagramProtocol):
            def datagram_received(self, data, _):
                way.carry(data)

        self.far, _ = await loop.create_datagram_endpoint(Far, remote_addr=tuple(platform))

    def datagram_received(self, data, address):
        self.browser = address
        if hasattr(self, "far"):
            self.far.sendto(data)

    def carry(self, data):
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self.bits is None:
            return self.near.sendto(data, self.browser)
        if self.free - now > 0.25:
            self.lost += 1
            return None
        self.free = max(self.free, now) + len(data) * 8 / self.bits
        return loop.call_at(self.free, self.near.sendto, data, self.browser)


async def layers(rig):
    """Chromium shows itself in three sizes. One sees the largest; another, on aiortc, the one that
    it asked for, and so does a bot of the SDK; and when the way to the first becomes narrow, it sees
    a smaller one, until the way is wide again."""
    meeting = await rig.meeting()
    tenant = bots.TENANT
    await rig.control("PUT", f"/rig/users/{CAT}", {"name": "Cat", "tenant": tenant})
    people = [(ANN, Browser(600, 0.0, RED, (960, 540), True), False), (BOB, Browser(), True)]
    small, bot, way = bots.Viewer(180), bots.Watcher(), Way()
    try:
        pages = await meet(rig, people, meeting, way)
        await small.join(rig, CAT, meeting)
        await bot.join(sys.argv[1], rig, rig.link, 300)

        async def seen():
            stats = await pages[1].run(STATS)
            video = max(counted(stats, "inbound-rtp", "video"), default={},
                        key=lambda one: one["packetsReceived"])
            return video.get("frameHeight", 0), video.get("framesDecoded", 0), video.get("freezeCount", 0)

        async def until(wanted, seconds):
            for tries in range(seconds * 4):
                if wanted((await seen())[0]):
                    return f"{tries / 4} s"
                await asyncio.sleep(0.25)
            stats = await pages[0].run(STATS)
            sent = [(one.get("rid"), one.get("frameHeight"), one.get("targetBitrate"),
                     one.get("qualityLimitationReason"), one.get("framesPerSecond"))
                    for one in counted(stats, "outbound-rtp", "video")]
            sent += [one["availableOutgoingBitrate"] for one in stats if "availableOutgoingBitrate" in one]
            raise AssertionError(f"not within {seconds} s: {(await seen())} of {sent}")

        wide = await until(lambda height: height == 540, 30)
        anns = await leg_of(rig, ANN)
        with tempfile.TemporaryDirectory() as corpora:
            said = await recorded(rig, corpora, "video/layers", "--leg", anns, "--duration", "5s")
        layers = sorted(re.findall(r'^layer = "(\w+)"', said, re.MULTILINE))
        assert len(layers) == 3, said
        small.heights.clear()
        seen_wide = [await seen()]
        await asyncio.sleep(5)
        seen_wide.append(await seen())
        way.bits = 400_000
        narrow = await until(lambda height: 0 < height < 540, 20)
        await asyncio.sleep(5)
        seen_narrow = [await seen()]
        await asyncio.sleep(10)
        seen_narrow.append(await seen())
        way.bits = None
        again = await until(lambda height: height == 540, 60)
        await rig.control("POST", f"/rig/legs/{anns}/endForAll")
        by_bot = await bot.leave()
        frames = [two[1] - one[1] for one, two in (seen_wide, seen_narrow)]
        asked = {height: small.heights.count(height) for height in sorted(set(small.heights))}
        report("layers", recorded=layers, largest_after=wide, smaller_after=narrow, larger_again_after=again,
               narrow_height=seen_narrow[1][0], frames_in_5_s_wide=frames[0],
               frames_in_10_s_narrow=frames[1],
               freezes_when_narrow=seen_narrow[1][2] - seen_narrow[0][2], dropped=way.lost,
               asked_for_180_got=asked, bot_for_300_got=by_bot)
        # A layer that grows under whoever sees it (a browser that found more time) is left at the
        # next key frame of a smaller one.
        large = sum(count for height, count in asked.items() if height > 180)
        assert len(small.heights) > 100 and large * 20 < len(small.heights), asked
        large = sum(count for height, count in by_bot.items() if height > 270)
        assert sum(by_bot.values()) > 300 and large * 20 < sum(by_bot.values()), by_bot
        # Without layers a narrow way would be left with key frames.
        assert frames[1] > 150, frames
    finally:
        bot.close()
        await small.leave()
        for _, browser, _ in people:
            browser.close()


async def screen(rig):
    """Chromium shares a screen beside a camera that costs bits. Another sees both; and when the way to it
    becomes narrow, the screen goes on, and the camera gets what is left."""
    meeting = await rig.meeting()
    people = [(ANN, Browser(600, 0.0, RED, (960, 540), True), False), (BOB, Browser(), True)]
    way = Way()
    try:
        pages = await meet(rig, people, meeting, way)
        await pages[0].run("document.getElementById('share').click()")
        await pages[0].until("window.callrig.phone.shared?.getVideoTracks().length", "a shared screen")

        async def seen():
            """Frames of the screen and of the camera so far."""
            line = await pages[1].run("window.callrig.phone.screenLine.mid")
            video = counted(await pages[1].run(STATS), "inbound-rtp", "video")
            frames = lambda is_screen: sum(
                one.get("framesDecoded", 0) for one in video if (one["mid"] == line) == is_screen)
            return frames(True), frames(False)

        async def rates(seconds):
            before = await seen()
            await asyncio.sleep(seconds)
            return [round((after - before) / seconds, 1) for before, after in zip(before, await seen())]

        await asyncio.sleep(5)
        wide = await rates(5)
        way.bits = 400_000
        await asyncio.sleep(8)
        narrow = await rates(10)
        anns = await leg_of(rig, ANN)
        await rig.control("POST", f"/rig/legs/{anns}/endForAll")
        report("screen", screen_and_camera_wide=wide, screen_and_camera_narrow=narrow, dropped=way.lost)
        assert min(wide) > 2, wide
        assert narrow[0] > wide[0] / 2, "the screen goes first"
    finally:
        for _, browser, _ in people:
            browser.close()


async def main():
    steps = {
        "aiortc": lambda rig: echo(rig, bots.Aiortc(), "aiortc"),
        "gstreamer": gstreamer,
        "judged": judged,
        "prompt": prompt,
        "rung": rung,
        "tcp": tcp,
        "record": record,
        "conference": conference,
        "layers": layers,
        "screen": screen,
    }
    wanted = sys.argv[2:] or list(steps)
    async with Rig() as rig:
        for name in wanted:
            await steps[name](rig)


asyncio.run(main())
