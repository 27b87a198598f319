"""The far end of every recording, as a process of its own: a UDP relay that damages, and the sink behind it.

Called as `farend.py CONFIG LOG`. CONFIG is JSON: {"links": [{"listen": [host, port], "forward": [host, port] | null,
"source": [host, port] | null, "seed": str, "network": {...}}], "sinks": [[host, port], ...]}. A link takes what arrives on
`listen`, decides by its seed and by the number of the packet (never by time) what happens to it, and sends it on from
`source`. On SIGTERM the log of every decision is written to LOG. Delays are real: a packet leaves when its moment has come.

Keys of `network`: loss (probability), burst {enter, leave, loss} (Gilbert-Elliott, per packet), duplicate (probability),
delay_ms, jitter_ms (uniform, both ways), keep_order (jitter never overtakes), reorder (probability) with reorder_ms (how long
such a packet is held), outage [from_s, seconds] (after the first packet), rate_kbit with queue_bytes (drop-tail bottleneck),
drift_ppm (the sender's clock as seen here runs that much fast), drop ("event-ends": every telephone-event packet that has
the end bit; "fu-end": the last fragment of every `every`th FU-A; "event-first": the first packet of each event).
"""

import heapq
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time


def bind(address):
    """A UDP socket bound to (host, port), IPv4 or IPv6, with room for a burst."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(tuple(address))
    sock.setblocking(False)
    return sock


class Link:
    """One direction through the damaged network."""

    def __init__(self, config):
        self.inside = bind(config["listen"])
        self.outside = bind(config["source"])
        self.forward = tuple(config["forward"])
        self.network = config["network"]
        self.random = random.Random(config["seed"])
        self.bad = False
        self.first = None
        self.last_release = 0.0
        self.queue_free_at = 0.0
        self.index = 0
        self.overtaken = 0
        self.log = []
        self.event_seen = None
        self.fragments = 0

    def targeted(self, data):
        """Whether this packet is one that a `drop` rule names. Reads no more of RTP than it must."""
        rule = self.network.get("drop")
        if rule is None or len(data) < 16:
            return False
        payload = data[12:]
        if rule in ("event-ends", "event-first"):
            if (data[1] & 0x7F) != self.network["payload_type"]:
                return False
            if rule == "event-ends":
                return bool(payload[1] & 0x80)
            timestamp = data[4:8]
            new, self.event_seen = timestamp != self.event_seen, timestamp
            return new
        if rule == "fu-end" and payload[0] & 0x1F == 28 and payload[1] & 0x40:
            self.fragments += 1
            return self.fragments % self.network.get("every", 10) == 0
        return False

    def decide(self, data, now):
        """(what, releases): "lost:<why>" and no releases, or "sent" and the moments at which a copy leaves."""
        network, draw = self.network, self.random
        # Every draw is made for every packet, so that one setting never shifts the dice of another.
        dice = {name: draw.random() for name in ("loss", "burst", "bad", "duplicate", "reorder", "jitter")}
        if self.first is None:
            self.first = now
        burst = network.get("burst")
        if burst:
            self.bad = dice["burst"] >= burst["leave"] if self.bad else dice["burst"] < burst["enter"]
            if self.bad and dice["bad"] < burst["loss"]:
                return "lost:burst", []
        if dice["loss"] < network.get("loss", 0.0):
            return "lost:random", []
        if self.targeted(data):
            return "lost:targeted", []
        outage = network.get("outage")
        if outage and outage[0] <= now - self.first < outage[0] + outage[1]:
            return "lost:outage", []
        release = now
        if "rate_kbit" in network:
            # What waits in the queue is what the wire has still to send: bytes = seconds × rate.
            rate = network["rate_kbit"] * 125.0
            start = max(now, self.queue_free_at)
            if (start - now) * rate + len(data) > network["queue_bytes"]:
                return "lost:queue", []
            self.queue_free_at = start + (len(data) + 28) / rate
            release = self.queue_free_at
        release += network.get("delay_ms", 0) / 1e3
        release += (2 * dice["jitter"] - 1) * network.get("jitter_ms", 0) / 1e3
        # A fast sender's packets come closer together: its second is shorter here.
        release -= (now - self.first) * network.get("drift_ppm", 0) / (1e6 + network.get("drift_ppm", 0))
        if dice["reorder"] < network.get("reorder", 0.0):
            release += network["reorder_ms"] / 1e3
        elif network.get("keep_order", False):
            release = max(release, self.last_release)
        self.last_release = max(self.last_release, release)
        releases = [release]
        if dice["duplicate"] < network.get("duplicate", 0.0):
            releases.append(release + network.get("duplicate_ms", 0) / 1e3)
        return "sent", releases


def note(link, data, what):
    """One line of the log: number, RTP sequence number and timestamp as they stand in the bytes, and the fate."""
    sequence, timestamp = struct.unpack(">HI", data[2:8]) if len(data) >= 8 else (None, None)
    link.log.append([link.index, sequence, timestamp, what])
    link.index += 1


def main():
    config = json.load(open(sys.argv[1], encoding="utf-8"))
    links = [Link(entry) for entry in config["links"]]
    sinks = [bind(address) for address in config["sinks"]]
    received = [0] * len(sinks)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    poll = select.epoll()
    by_fd = {}
    for link in links:
        by_fd[link.inside.fileno()] = link
    for number, sink in enumerate(sinks):
        by_fd[sink.fileno()] = number
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    queue, ticket = [], 0
    print("ready", flush=True)
    while not stop:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, link, data = heapq.heappop(queue)
            link.outside.sendto(data, link.forward)
            now = time.monotonic()
        # epoll counts in milliseconds; the last stretch is spun so that releases are exact to some 10 µs.
        wait = 0.05 if not queue else max(0.0, min(0.05, queue[0][0] - now - 0.0015))
        for fd, _ in poll.poll(wait):
            owner = by_fd[fd]
            sock = owner.inside if isinstance(owner, Link) else sinks[owner]
            while True:
                try:
                    data = sock.recv(65536)
                except BlockingIOError:
                    break
                if not isinstance(owner, Link):
                    received[owner] += 1
                    continue
                what, releases = owner.decide(data, time.monotonic())
                note(owner, data, what if len(releases) < 2 else "sent twice")
                for release in releases:
                    heapq.heappush(queue, (release, ticket, owner, data))
                    ticket += 1
    partial = sys.argv[2] + ".part"
    with open(partial, "w", encoding="utf-8") as out:
        json.dump({"links": [link.log for link in links], "sinks": received, "unsent": len(queue)}, out)
    os.replace(partial, sys.argv[2])


if __name__ == "__main__":
    main()
