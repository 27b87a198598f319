"""Chromium without a screen, driven over its DevTools protocol: pages are opened, told what to
do, and asked what they see. Its microphone and camera are files that `markers` makes."""

import asyncio
import itertools
import json
import math
import os
import struct
import subprocess
import tempfile
import wave

import websockets

CHROMIUM = os.environ.get("CHROMIUM", "chromium")
SIZE, RATE, SECONDS = (320, 240), 30, 3


def sound(path, pitch, at):
    """A burst of a tone, a quarter of a second long, once in three seconds."""
    samples = bytearray()
    for index in range(48_000 * SECONDS):
        time = index / 48_000 - at
        loud = 0 <= time < 0.25
        value = 12_000 * math.sin(2 * math.pi * pitch * time) if loud else 0
        samples += struct.pack("<h", int(value))
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(samples))


# What noise may be: a little around a dark grey.
GRAIN = bytes(40 + value % 32 for value in range(256))


def picture(path, color, size, grain):
    """Stripes that wander, or grain that costs bits, in one color, and a white flash once in three
    seconds."""
    width, height = size
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        u, v = color
        for frame in range(RATE * SECONDS):
            white = frame < 6
            file.write(b"FRAME\n")
            row = bytes(235 if white else 40 + (x + frame) % 64 for x in range(width))
            noise = grain and not white
            file.write(os.urandom(width * height).translate(GRAIN) if noise else row * height)
            quarter = width * height // 4
            file.write(bytes([128 if white else u]) * quarter)
            file.write(bytes([128 if white else v]) * quarter)


class Page:
    """One page of a browser."""

    def __init__(self, socket):
        self.socket = socket
        self.numbers = itertools.count(1)
        self.waiting = {}
        self.said = []
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        try:
            async for text in self.socket:
                message = json.loads(text)
                if "id" in message:
                    self.waiting.pop(message["id"]).set_result(message)
                elif message["method"] == "Runtime.exceptionThrown":
                    self.said.append(message["params"]["exceptionDetails"])
        except websockets.ConnectionClosed:
            pass  # The browser is closed.

    async def send(self, method, **params):
        number = next(self.numbers)
        answer = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        await self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        message = await asyncio.wait_for(answer, 30)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    async def run(self, script):
        """What a script comes to, promises included."""
        result = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script[:80]}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, script, what, seconds=20):
        """Waits for a script to come to something true."""
        for _ in range(seconds * 10):
            value = await self.run(script)
            if value:
                return value
            await asyncio.sleep(0.1)
        state = await self.run("document.getElementById('state').textContent")
        raise AssertionError(f"{what}: not within {seconds} s; the page says {state!r}; {self.said}")


class Browser:
    """A browser with a microphone and a camera of its own, for as long as it is needed."""

    def __init__(self, pitch=1000, at=0.0, color=(128, 128), size=SIZE, grain=False):
        # What it started itself may still write there when it has ended.
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        microphone, camera = (os.path.join(self.folder.name, n) for n in ("in.wav", "in.y4m"))
        sound(microphone, pitch, at)
        picture(camera, color, size, grain)
        self.profile = os.path.join(self.folder.name, "profile")
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--use-fake-ui-for-media-stream",
             "--use-fake-device-for-media-stream",
             f"--use-file-for-fake-audio-capture={microphone}",
             f"--use-file-for-fake-video-capture={camera}",
             "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def open(self, url):
        port = os.path.join(self.profile, "DevToolsActivePort")
        for _ in range(300):
            if os.path.exists(port) and os.path.getsize(port) > 0:
                break
            await asyncio.sleep(0.1)
        number, path = open(port, encoding="ascii").read().split("\n")[:2]
        whole = Page(await websockets.connect(f"ws://127.0.0.1:{number}{path}", max_size=None))
        target = (await whole.send("Target.createTarget", url=url))["targetId"]
        address = f"ws://127.0.0.1:{number}/devtools/page/{target}"
        page = Page(await websockets.connect(address, max_size=None))
        await page.send("Runtime.enable")
        await page.until("window.callrig !== undefined && document.getElementById('user').value",
                         "the page is there")
        return page

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.folder.cleanup()


# Run in the page: when the marker leaves and when it comes back, on one clock each. The two
# sounds are the two channels of one node, so their distance is exact to the sample.
MEASURE = """
(async () => {
  const heard = { sent: [], back: [], pitches: {} };
  const seen = { sent: [], back: [], colors: {} };
  window.measured = { heard, seen };
  const context = new AudioContext({ sampleRate: 48000 });
  const merger = context.createChannelMerger(2);
  const { local, remote } = window.callrig.phone;
  const spectrum = context.createAnalyser();
  spectrum.fftSize = 4096;
  if (local?.getAudioTracks().length) context.createMediaStreamSource(local).connect(merger, 0, 0);
  const back = context.createMediaStreamSource(remote);
  back.connect(merger, 0, 1);
  back.connect(spectrum);
  const listener = context.createScriptProcessor(1024, 2, 1);
  const quiet = [48000, 48000];
  let clock = 0;
  const bins = new Float32Array(spectrum.frequencyBinCount);
  listener.onaudioprocess = event => {
    for (const [channel, list] of [[0, heard.sent], [1, heard.back]]) {
      const samples = event.inputBuffer.getChannelData(channel);
      for (let index = 0; index < samples.length; index++) {
        if (Math.abs(samples[index]) < 0.03) { quiet[channel] += 1; continue; }
        if (quiet[channel] > 24000) list.push((clock + index) / 48);
        quiet[channel] = 0;
      }
    }
    clock += event.inputBuffer.length;
    spectrum.getFloatFrequencyData(bins);
    const loudest = bins.reduce((best, value, index) => value > bins[best] ? index : best, 0);
    if (bins[loudest] > -50) {
      const pitch = Math.round(loudest * 48000 / 4096 / 100) * 100;
      heard.pitches[pitch] = (heard.pitches[pitch] ?? 0) + 1;
    }
  };
  merger.connect(listener);
  listener.connect(context.destination);
  const watch = (id, list) => {
    const video = document.getElementById(id);
    const canvas = document.createElement('canvas');
    canvas.width = 16; canvas.height = 12;
    const drawing = canvas.getContext('2d', { willReadFrequently: true });
    let bright = true;
    const look = now => {
      drawing.drawImage(video, 0, 0, 16, 12);
      const pixels = drawing.getImageData(0, 0, 16, 12).data;
      const mean = [0, 0, 0];
      for (let index = 0; index < pixels.length; index += 4) {
        for (const part of [0, 1, 2]) mean[part] += pixels[index + part] / 192;
      }
      const white = Math.min(...mean) > 170;
      if (white && !bright) list.push(performance.now());
      bright = white;
      if (id === 'theirs' && !white) {
        const color = mean.indexOf(Math.max(...mean));
        seen.colors[color] = (seen.colors[color] ?? 0) + 1;
      }
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  };
  watch('mine', seen.sent);
  watch('theirs', seen.back);
})()
"""

STATS = """
(async () => [...(await window.callrig.phone.connection.getStats()).values()])()
"""


def delays(sent, back, most=2900, early=0):
    """From each marker that left to the first that came back after it; what is shown of oneself
    may itself be `early` milliseconds late."""
    found = []
    for left in sent:
        later = [at - left for at in back if -early <= at - left < most]
        if later:
            found.append(min(later))
    return found


def counted(stats, kind, media):
    """What a browser counted under one type and kind, of all its streams."""
    return [one for one in stats if one["type"] == kind and one.get("kind") == media]
