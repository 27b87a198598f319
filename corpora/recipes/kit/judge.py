"""What is true of a capture, counted here from its bytes and compared with tshark: an independent judge, none of callrig's code.

Definitions (the same as corpora/src/truth.rs): `packets` are RTP packets that arrived, duplicates included. Sequence numbers
are extended as in RFC 3550 A.1: a step of up to 3,000 forward or 100 back is a step, anything else is a restart if the next
packet follows it; but a true copy (number and timestamp) of a packet of this range is a duplicate, however late. `lost` = numbers between the lowest and the highest arrived that never arrived. `duplicates` = arrivals of a
number that had arrived. `reordered` = packets that came after one with a higher number (RFC 4737 section 3.4) and are no
duplicates. `frames` = RTP timestamps of which at least one H.264 packet arrived. An SSRC on a route is a flow
if it has two packets and at least half of the steps of its number are small (16 either way); packets of none are `other`.
"""

import re
import subprocess

from kit import wire

DROPOUT_MAX, MISORDER_MAX = 3000, 100


class Flow:
    """Counts of one SSRC on one route (source and destination)."""

    def __init__(self):
        self.packets = self.duplicates = self.reordered = self.restarts = self.lost_before = 0
        self.seen, self.highest, self.expected = {}, None, None
        self.timestamps, self.types, self.payloads = {}, {}, {}
        self.steady, self.last = 0, None

    def plausible(self):
        """Whether this is a flow at all: two packets or more, and at least half of the steps go on from the number before."""
        return self.packets >= 2 and self.steady * 2 >= self.packets - 1

    def lost(self):
        """Numbers missing in all ranges so far."""
        here = max(self.seen) - min(self.seen) + 1 - len(self.seen) if self.seen else 0
        return self.lost_before + here

    def push(self, packet):
        """Counts one packet in order of arrival."""
        self.packets += 1
        self.types[packet.payload_type] = self.types.get(packet.payload_type, 0) + 1
        if self.last is not None:
            near = (packet.sequence - self.last) & 0xFFFF
            self.steady += near <= 16 or near >= 65536 - 16
        self.last = packet.sequence
        if self.highest is None:
            self.highest = 1 << 16 | packet.sequence
        step = (packet.sequence - self.highest) & 0xFFFF
        if step < DROPOUT_MAX:
            number = self.highest + step
        elif step >= 65536 - MISORDER_MAX:
            number = self.highest + step - 65536
        elif self.seen.get(self.highest + step - 65536) == packet.timestamp:
            number = self.highest + step - 65536
        elif packet.sequence == self.expected:
            self.lost_before, self.seen = self.lost(), {}
            self.restarts += 1
            number = self.highest = 1 << 16 | packet.sequence
        else:
            self.expected = packet.sequence + 1 & 0xFFFF
            return None
        if number in self.seen:
            self.duplicates += 1
        elif number < self.highest:
            self.reordered += 1
        self.seen.setdefault(number, packet.timestamp)
        self.highest = max(self.highest, number)
        return number


class Count:
    """Counts of a whole capture."""

    def __init__(self, path):
        self.flows, self.routes, self.rtcp, self.other = {}, {}, 0, 0
        self.first = self.last = None
        for when, source, target, data in wire.datagrams(path):
            self.first = when if self.first is None else min(self.first, when)
            self.last = when if self.last is None else max(self.last, when)
            if len(data) >= 4 and data[0] >> 6 == 2 and 192 <= data[1] <= 223:
                fits = (int.from_bytes(data[2:4], "big") + 1) * 4 <= len(data)
                self.rtcp += fits
                self.other += not fits
                continue
            try:
                packet = wire.Rtp(data)
            except ValueError:
                self.other += 1
                continue
            flow = self.routes.setdefault((source, target, packet.ssrc), Flow())
            number = flow.push(packet)
            flow.timestamps.setdefault(packet.payload_type, set()).add(packet.timestamp)
            if number is not None:
                flow.payloads.setdefault(number, packet)
        for (_, _, ssrc), flow in list(self.routes.items()):
            if flow.plausible():
                self.flows[ssrc] = flow
            else:
                self.other += flow.packets

    def total(self, name):
        """The sum of a count over all flows."""
        found = [flow for flow in self.routes.values() if flow.plausible()]
        return sum(flow.lost() if name == "lost" else getattr(flow, name) for flow in found)

    def duration_ms(self):
        """From the first to the last arrival, rounded."""
        return round((self.last - self.first) / 1e6)


def tshark_streams(path, ports):
    """{ssrc: (packets, lost)} as `rtp,streams` sees a capture; None for a format it cannot be told the ports of."""
    command = ["tshark", "-r", path, "-q", "-z", "rtp,streams"]
    for port in ports:
        command += ["-d", f"udp.port=={port},rtp"]
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    found = {}
    for ssrc, packets, lost in re.findall(r"0x([0-9A-Fa-f]{8})\s+.*?\s(\d+)\s+(-?\d+) \(", text):
        before = found.get(int(ssrc, 16), (0, 0))
        found[int(ssrc, 16)] = (before[0] + int(packets), before[1] + int(lost))
    return found


def disagreement(path, count, ports):
    """A sentence for each count in which tshark differs, its own rule for `lost` applied; empty if all agree.

    tshark: lost = (last arrived number - first arrived + 1) - received, so duplicates lower it.
    """
    found, faults = tshark_streams(path, ports), []
    for ssrc, flow in count.flows.items():
        if ssrc not in found:
            faults.append(f"tshark sees no stream 0x{ssrc:08x}")
            continue
        packets, lost = found[ssrc]
        if packets != flow.packets:
            faults.append(f"0x{ssrc:08x}: {flow.packets} packets here, {packets} by tshark")
        if not flow.restarts and not flow.reordered and lost != flow.lost() - flow.duplicates:
            faults.append(f"0x{ssrc:08x}: lost {flow.lost()} and {flow.duplicates} twice here, {lost} by tshark")
    return faults


def against_log(count, ssrc, log):
    """A sentence for each difference between what the relay did and what was captured behind it; empty if none."""
    fate = {"lost": 0, "twice": 0, "sent": 0}
    for _, _, _, what in log:
        fate["lost" if what.startswith("lost") else "sent"] += 1
        fate["twice"] += what == "sent twice"
    flow = count.flows[ssrc]
    distinct = flow.packets - flow.duplicates
    faults = []
    if distinct != fate["sent"] or flow.duplicates != fate["twice"]:
        faults.append(f"0x{ssrc:08x}: the relay sent {fate['sent']} ({fate['twice']} twice), captured {distinct} "
                      f"({flow.duplicates} twice)")
    # Losses before the first and after the last arrival show in no capture.
    kept = [number for number, line in enumerate(log) if not line[3].startswith("lost")]
    inside = sum(1 for line in log[kept[0]:kept[-1]] if line[3].startswith("lost")) if kept else 0
    if not flow.restarts and flow.lost() != inside:
        faults.append(f"0x{ssrc:08x}: the relay lost {inside} between its first and last packet, captured lost {flow.lost()}")
    return faults


def digits_of(packets):
    """Digits of telephone-event packets in order of arrival, each event (timestamp) once: a check on what was pressed."""
    names, seen = "0123456789*#ABCD!", {}
    for packet in packets:
        seen.setdefault(packet.timestamp, packet.payload[0])
    return "".join(names[event] if event < len(names) else "?" for event in seen.values())


def stamping(ssrc, flow, payload_type, codec):
    """A sentence if a sender did not stamp each frame: two video frames (by their marker bit, RFC 6184 section 5.1), or two
    audio packets, under one RTP timestamp. A telephone-event keeps its timestamp while it lasts, so it is not asked.
    Holds for damaged recordings too: what is lost takes its stamp along, and a copy has the number of its original."""
    if codec == "telephone-event":
        return []
    ends = [packet.timestamp for packet in flow.payloads.values()
            if packet.payload_type == payload_type and (packet.marker or codec != "h264")]
    if len(set(ends)) == len(ends):
        return []
    return [f"0x{ssrc:08x}: {len(ends)} frames under {len(set(ends))} timestamps, payload type {payload_type}"]


def annexb_of(flow):
    """The NAL units of an H.264 flow in order of sequence numbers, as Annex B (RFC 6184: single, STAP-A, FU-A)."""
    out, fragment = bytearray(), None
    for number in sorted(flow.payloads):
        payload = flow.payloads[number].payload
        kind = payload[0] & 0x1F
        if kind == 24:
            at = 1
            while at + 2 <= len(payload):
                size = int.from_bytes(payload[at:at + 2], "big")
                out += b"\0\0\0\1" + payload[at + 2:at + 2 + size]
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                fragment = bytearray([payload[0] & 0xE0 | payload[1] & 0x1F])
            if fragment is not None:
                fragment += payload[2:]
                if payload[1] & 0x40:
                    out += b"\0\0\0\1" + fragment
                    fragment = None
        elif kind < 24:
            out += b"\0\0\0\1" + payload
    return bytes(out)


def shapes(flow):
    """How many packets of each kind an H.264 flow has: {"single": n, "stap-a": n, "fu-a": n}."""
    found = {}
    for packet in flow.payloads.values():
        kind = packet.payload[0] & 0x1F
        name = {24: "stap-a", 28: "fu-a"}.get(kind, "single")
        found[name] = found.get(name, 0) + 1
    return found


def opus_shapes(flow):
    """{"mode/bandwidth/frame ms/channels/code": packets} of an Opus flow by its TOC bytes (RFC 6716 section 3.1)."""
    found = {}
    for packet in flow.payloads.values():
        toc = packet.payload[0]
        config = toc >> 3
        if config < 12:
            mode, band, size = "silk", ["nb", "mb", "wb"][config // 4], [10, 20, 40, 60][config % 4]
        elif config < 16:
            mode, band, size = "hybrid", ["swb", "fb"][(config - 12) // 2], [10, 20][config % 2]
        else:
            mode, band, size = "celt", ["nb", "wb", "swb", "fb"][(config - 16) // 4], [2.5, 5, 10, 20][config % 4]
        name = f"{mode}/{band}/{size}/{'stereo' if toc & 4 else 'mono'}/code{toc & 3}"
        found[name] = found.get(name, 0) + 1
    return found
