"""One conference on two platforms: people of plain RTP, of whom some speak. See run-conference."""

import ctypes
import ctypes.util
import json
import math
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
SPEECH = os.path.join(ROOT, "corpora/recordings/audio/opus-20ms-32k-mono-en.pcap")
SILENCE = os.path.join(ROOT, "corpora/recordings/audio/opus-silence.rtpdump")
FRAME, SETTLE, SECONDS, ROUNDS = 0.02, 3, 15, 3
PAYLOAD_TYPE, LEVEL_ID = 111, 1
PLUGIN = "janus.plugin.audiobridge"
TENANT, APP = "33333333-3333-4333-8333-333333333333", "11111111-1111-4111-8111-111111111111"


def payload(packet):
    """What is in an RTP packet without extensions."""
    return packet[12 + 4 * (packet[0] & 0x0F):]


def captured(path):
    """Opus packets of a capture of one stream: Ethernet, IPv4, no options."""
    data = open(path, "rb").read()
    position, found = 24, []
    while position < len(data):
        length = struct.unpack_from("<I", data, position + 8)[0]
        frame = data[position + 16:position + 16 + length]
        position += 16 + length
        if frame[23] == 17 and frame[42] >> 6 == 2 and not 192 <= frame[43] < 224:
            found.append(payload(frame[42:]))
    return found


def dumped(path):
    data = open(path, "rb").read()
    position, found = data.index(b"\n") + 17, []
    while position < len(data):
        length, size = struct.unpack_from(">HH", data, position)
        if size:
            found.append(payload(data[position + 8:position + length]))
        position += length
    return found


def levels(packets):
    """How loud each of these Opus packets is, in -dBov (RFC 6464), as libopus decodes them."""
    opus = ctypes.CDLL(ctypes.util.find_library("opus") or "libopus.so.0")
    opus.opus_decoder_create.restype = ctypes.c_void_p
    decoder = ctypes.c_void_p(opus.opus_decoder_create(16_000, 1, ctypes.byref(ctypes.c_int())))
    sound, found = (ctypes.c_int16 * 1_920)(), []
    for packet in packets:
        count = max(opus.opus_decode(decoder, packet, len(packet), sound, len(sound), 0), 1)
        power = sum(sample * sample for sample in sound[:count]) / count / 32_767**2
        found.append(min(127, max(0, round(-10 * math.log10(power)))) if power > 0 else 127)
    return found


def cpu(pid):
    """Seconds of CPU that a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(url, body=None, token=None, method=None):
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    kind = "x-www-form-urlencoded" if isinstance(body, str) else "json"
    headers = {"content-type": f"application/{kind}"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.startswith(("{", "[")) else text


def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(attempt, patience=20):
    end = time.monotonic() + patience
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Janus:
    """AudioBridge: everybody decoded, mixed and encoded for."""

    def __init__(self, folder):
        self.base, plugins = f"http://127.0.0.1:{port()}/janus", "/usr/lib/x86_64-linux-gnu/janus"
        at = self.base.split(":")[2].split("/")[0]
        others = [name for name in os.listdir(f"{plugins}/plugins") if name.endswith(".so") and "audiobridge" not in name]
        transports = [name for name in os.listdir(f"{plugins}/transports") if name.endswith(".so") and "http" not in name]
        files = {
            "janus.jcfg": f'general: {{ debug_level = 3 }}\nplugins: {{ disable = "{",".join(others)}" }}\n'
                          f'transports: {{ disable = "{",".join(transports)}" }}\n',
            "janus.transport.http.jcfg": f'general: {{ http = true\nport = {at}\nip = "127.0.0.1"\n'
                                         'base_path = "/janus"\nhttps = false }\n',
            "janus.plugin.audiobridge.jcfg": 'general: { local_ip = "127.0.0.1" }\n',
        }
        for name, text in files.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        with open(os.path.join(folder, "log"), "w") as log:
            self.process = subprocess.Popen(
                ["janus", "-F", folder, "-C", os.path.join(folder, "janus.jcfg")], stdout=log, stderr=log)

    def open(self):
        self.session = until(lambda: self.say("", janus="create"))["data"]["id"]
        self.room = None

    def say(self, path, **what):
        return ask(self.base + path, {"transaction": "t", **what})

    def enter(self, _index, mine):
        handle = self.say(f"/{self.session}", janus="attach", plugin=PLUGIN)["data"]["id"]
        path = f"/{self.session}/{handle}"
        if self.room is None:
            body = {"request": "create", "room": 1, "sampling_rate": 16000, "allow_rtp_participants": True}
            made = self.say(path, janus="message", body=body)
            self.room = made["plugindata"]["data"]["room"]
        rtp = {"ip": "127.0.0.1", "port": mine, "payload_type": PAYLOAD_TYPE, "audiolevel_ext": LEVEL_ID}
        self.say(path, janus="message", body={"request": "join", "room": self.room, "rtp": rtp})
        while True:
            event = ask(f"{self.base}/{self.session}?maxev=1")
            data = event.get("plugindata", {}).get("data", {})
            if event.get("sender") == handle and "rtp" in data:
                return data["rtp"]["ip"], data["rtp"]["port"]
            assert "error" not in data, data

    def keep(self):
        self.say(f"/{self.session}", janus="keepalive")


class Callrig:
    """`callrig serve`: who is silent is not decoded, and all who are silent hear one mix."""

    def __init__(self, folder, people):
        demonstration = subprocess.run([sys.argv[1], "serve", "--print-config"], check=True, capture_output=True, text=True)
        users = "".join(
            f'\n[[tenants.users]]\nid = "44444444-4444-4444-8444-{index:012}"\nname = "User {index}"\n'
            for index in range(people))
        head, users_on = demonstration.stdout.split("[[tenants.users]]", 1)
        text = head + users + "\n[[tenants.consents]]" + users_on.split("[[tenants.consents]]", 1)[1]
        config = os.path.join(folder, "rig.toml")
        with open(config, "w") as file:
            file.write(text)
        with open(os.path.join(folder, "log"), "w") as log:
            self.process = subprocess.Popen(
                [sys.argv[1], "serve", config, "--listen", "127.0.0.1:0", "--log", "warn"],
                stdout=subprocess.PIPE, stderr=log, text=True)

    def open(self):
        self.base = re.search(r"http://\S+", self.process.stdout.readline()).group(0)
        form = (f"grant_type=client_credentials&client_id={APP}&client_secret=demonstration"
                "&scope=https://graph.microsoft.com/.default")
        token = ask(f"{self.base}/{TENANT}/oauth2/v2.0/token", form)["access_token"]
        wanted = {"subject": "all of us", "lobbyBypassSettings": {"scope": "everyone"}}
        url = f"{self.base}/v1.0/users/44444444-4444-4444-8444-{0:012}/onlineMeetings"
        self.meeting = ask(url, wanted, token)["id"]

    def enter(self, index, mine):
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
                 f"m=audio {mine} RTP/AVP {PAYLOAD_TYPE} 101", f"a=rtpmap:{PAYLOAD_TYPE} opus/48000/2",
                 "a=rtpmap:101 telephone-event/48000",
                 f"a=extmap:{LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level", "a=rtcp-mux", ""]
        body = {"meeting": self.meeting, "user": f"User {index}", "offer": "\r\n".join(lines)}
        leg = ask(f"{self.base}/rig/legs", body)["leg"]
        answer = ask(f"{self.base}/rig/legs/{leg}/answer.sdp")
        at = re.search(r"c=IN IP4 (\S+)", answer).group(1)
        return at, int(re.search(r"m=audio (\d+)", answer).group(1))

    def keep(self):
        pass


class People:
    def __init__(self, platform, count, speaking):
        self.platform, self.speaking = platform, speaking
        self.sockets, self.places = [], []
        for index in range(count):
            mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            mine.bind(("127.0.0.1", 0))
            mine.setblocking(False)
            self.sockets.append(mine)
            self.places.append(platform.enter(index, mine.getsockname()[1]))
        self.poll = select.epoll()
        self.by_number = {mine.fileno(): mine for mine in self.sockets}
        for number in self.by_number:
            self.poll.register(number, select.EPOLLIN)
        self.speech, self.silence = captured(SPEECH), dumped(SILENCE)
        self.levels = levels(self.speech)
        self.frame, self.came, self.bytes, self.late = 0, 0, 0, 0.0

    def packet(self, index):
        speaks = index < self.speaking
        pieces = self.speech if speaks else self.silence
        place = (self.frame + 37 * index) % len(pieces)
        level = 0x80 | self.levels[place] if speaks else 127
        head = struct.pack(">BBHII", 0x90, PAYLOAD_TYPE, self.frame & 0xFFFF, self.frame * 960 & 0xFFFFFFFF, index + 1)
        extension = struct.pack(">HHBBxx", 0xBEDE, 1, LEVEL_ID << 4, level)
        return head + extension + pieces[place]

    def take(self, patience):
        for number, _ in self.poll.poll(max(patience, 0)):
            mine = self.by_number[number]
            try:
                while True:
                    packet = mine.recv(2048)
                    if not 192 <= packet[1] < 224:
                        self.came += 1
                        self.bytes += len(packet)
            except BlockingIOError:
                pass

    def talk(self, seconds):
        """Everybody sends a packet each 20 ms."""
        began = time.monotonic()
        for turn in range(round(seconds / FRAME)):
            due = began + turn * FRAME
            while (left := due - time.monotonic()) > 0:
                self.take(left)
            self.late = max(self.late, time.monotonic() - due)
            for index, (mine, place) in enumerate(zip(self.sockets, self.places)):
                mine.sendto(self.packet(index), place)
            self.frame += 1
            if turn % 500 == 499:
                self.platform.keep()
        self.take(0)

    def measure(self):
        self.came, self.bytes, self.late = 0, 0, 0.0
        before = cpu(self.platform.process.pid)
        self.talk(SECONDS)
        spent = cpu(self.platform.process.pid) - before
        people = len(self.sockets)
        return spent * 1e3 / (SECONDS * people), self.came / (SECONDS * people), self.bytes / max(self.came, 1)


def conference(name, count, speaking):
    with tempfile.TemporaryDirectory() as folder:
        platform = Janus(folder) if name == "janus" else Callrig(folder, count)
        try:
            platform.open()
            people = People(platform, count, speaking)
            people.talk(SETTLE)
            return [people.measure() for _ in range(ROUNDS)], people.late
        finally:
            platform.process.kill()
            platform.process.wait()


def main():
    names = ["callrig"] + (["janus"] if shutil.which("janus") else [])
    cases = [tuple(map(int, case.split("/"))) for case in sys.argv[2:]] or [(50, 3), (50, 50)]
    print(f"ms of CPU for each second of each person, over {ROUNDS} times {SECONDS} s; everybody is sent 50 packets a second")
    for count, speaking in cases:
        for name in names:
            rounds, late = conference(name, count, speaking)
            shown = " ".join(f"{spent:6.2f}" for spent, _, _ in rounds)
            middle = sorted(spent for spent, _, _ in rounds)[ROUNDS // 2]
            came, size = rounds[-1][1:]
            print(f"{count} people, {speaking} speak  {name:8} {shown}   {1e3 / middle:6.0f} people per core   "
                  f"{came:4.1f} packets/s of {size:3.0f} bytes came   latest send {late * 1e3:.1f} ms late", flush=True)


main()
