"""Recordings written byte by byte: what no decent sender sends, around a decent stream that must survive it.

Each case is a function that fills a Tape and says what is true by construction; the judge's own count of the file must agree.
Times are made up (a packet each 20 ms), for here it is the bytes that matter. Everything is drawn from a seeded generator.
"""

import math
import os
import random
import re
import struct
import zlib

from kit import bitstreams, judge, wire

HERE, THERE, STRANGER = ("10.0.0.1", 5004), ("10.0.0.2", 5006), ("10.6.6.6", 666)
START_NS = 1_700_000_000 * 10**9
VIDEO = {"encoder": "openh264", "source": {"kind": "picture", "look": "moving", "size": "320x180", "fps": 15, "seconds": 4},
         "args": ["bitrate=120000", "gop-size=30", "rate-control=bitrate", "complexity=high"]}


def mu_law(sample):
    """ITU-T G.711 µ-law of a 16-bit sample."""
    sign, value = (0x80, -sample) if sample < 0 else (0, sample)
    value = min(value, 32635) + 132
    exponent = value.bit_length() - 8
    return ~(sign | exponent << 4 | value >> exponent + 3 & 0xF) & 0xFF


def tone(number):
    """160 samples (20 ms at 8 kHz) of a sine of 400 Hz: eight whole periods, so that every packet is alike."""
    return bytes(mu_law(round(8000 * math.sin(2 * math.pi * 400 * n / 8000))) for n in range(number * 160, number * 160 + 160))


class Tape:
    """Frames with their times, the dice of this case, and the files' layout."""

    def __init__(self, ident, work):
        self.random = random.Random(zlib.crc32(ident.encode()))
        self.work, self.frames, self.flows = work, [], []
        # What is done to the bytes of the file at the end, and its format.
        self.finish, self.ending = None, "pcap"

    def frame(self, at_ms, data):
        """One link-layer frame."""
        self.frames.append((START_NS + round(at_ms * 1e6), data))

    def udp(self, at_ms, payload, source=HERE, target=THERE):
        """One datagram."""
        self.frame(at_ms, wire.ethernet(wire.ipv4_udp(source, target, payload, len(self.frames) & 0xFFFF)))

    def voice(self, count, at_ms=0, ssrc=0x0DECE171, sequence=100, timestamp=8000, skip=()):
        """A decent PCMU stream: 20 ms a packet. Returns its packets."""
        packets = [wire.rtp_packet(sequence + n, timestamp + 160 * n, ssrc, 0, tone(n), n == 0) for n in range(count)]
        for number, packet in enumerate(packets):
            if number not in skip:
                self.udp(at_ms + 20 * number, packet)
        self.is_flow(ssrc, 0, "pcmu", 8000)
        return packets

    def is_flow(self, ssrc, payload_type, codec, clock_rate):
        """Announces a flow for the manifest."""
        flow = {"ssrc": ssrc, "payload_type": payload_type, "codec": codec, "clock_rate": clock_rate}
        if flow not in self.flows:
            self.flows.append(flow)

    def pictures(self):
        """[[payload, ...] per access unit] of a real bitstream: single NAL units and FU-A, at most 900 bytes each."""
        data = open(bitstreams.encode(self.work, VIDEO)[1], "rb").read()
        units, current = [], []
        for nal in re.split(b"\0\0\0?\1", data)[1:]:
            current += fragments(nal)
            if nal[0] & 0x1F in (1, 5):
                units.append(current)
                current = []
        self.is_flow(0x0DECE264, 96, "h264", 90000)
        return units

    def video(self, units, extra):
        """Sends pictures, one each 66 ms; `extra` is {index: payloads} of hostile packets that come before that picture, in
        sequence and with a timestamp of their own. Returns how many packets that were."""
        sequence = 65000
        for index, unit in enumerate(units):
            at, timestamp = index * 1000 / 15, 4_294_900_000 + index * 6000
            batches = [(extra.get(index, []), timestamp - 3000, False), (unit, timestamp, True)]
            for payloads, when, decent in batches:
                for number, payload in enumerate(payloads):
                    marker = decent and number == len(payloads) - 1
                    self.udp(at + (20 if decent else 0) + number * 0.003,
                             wire.rtp_packet(sequence, when, 0x0DECE264, 96, payload, marker))
                    sequence += 1
        return sequence - 65000


def fragments(nal, size=900):
    """A NAL unit as RFC 6184 sends it: whole if it fits, else FU-A."""
    if len(nal) <= size:
        return [nal]
    parts = [nal[1:][at:at + size - 2] for at in range(0, len(nal) - 1, size - 2)]
    flags = [0x80 if n == 0 else 0x40 if n == len(parts) - 1 else 0 for n in range(len(parts))]
    return [bytes([nal[0] & 0xE0 | 28, flag | nal[0] & 0x1F]) + part for flag, part in zip(flags, parts)]


def truncated_headers(tape):
    """RTP that ends after 0 to 11 bytes, and CSRC lists that end early."""
    packets = tape.voice(60)
    for size in range(12):
        tape.udp(5 + size * 40, packets[20][:size])
    for count in range(1, 16):
        whole = bytes([0x80 | count]) + packets[30][1:12] + b"\x11" * (4 * count)
        tape.udp(7 + count * 40, whole[:-1])
    return {"packets": 60, "other": 27}


def lying_lengths(tape):
    """Extensions and padding that are longer than their packet, in packets that are otherwise the stream's next."""
    base = tape.voice(60, skip=range(20, 32))
    lies = [
        bytes([0x90]) + base[20][1:12],                                                # an extension that is not there
        bytes([0x90]) + base[21][1:12] + b"\xbe\xde\xff\xff" + b"\0" * 8,              # of 65,535 words
        bytes([0x90]) + base[22][1:12] + b"\xbe\xde\0\3" + b"\x10\xaa\0\0" * 2,        # one word too long
        bytes([0xA0]) + base[23][1:12] + b"\x7f" * 20 + b"\xff",                       # padding of 255 in 21 bytes
        bytes([0xA0]) + base[24][1:12] + b"\x7f" * 20 + b"\0",                         # padding of 0
        bytes([0xA0]) + base[25][1:12] + b"\x15" * 21,                                 # nothing but padding
        bytes([0xA0]) + base[26][1:12] + b"\x16" * 21,                                 # one more than that
        bytes([0xB1]) + base[27][1:12] + b"\0\0\0\7" + b"\xbe\xde\0\1" + b"\x16\1\2\3" + b"\x40",  # both, and they overlap
        bytes([0xA0]) + base[28][1:12],                                                # padding in an empty packet
        bytes([0x90]) + base[29][1:12] + b"\x10\x00\0\2" + b"\1\xff\2\3\4\5\6\7" + base[29][12:],  # two-byte element of 255
        bytes([0x90]) + base[30][1:12] + b"\xbe\xde\0\1" + b"\x1f\1\2\3" + base[30][12:],  # one-byte element past the end
        base[31][:12],                                                                 # no payload at all
    ]
    for number, lie in enumerate(lies):
        tape.udp(400 + 20 * number, lie)
    return {"packets": 60, "lost": 0, "other": 0}


def extension_bombs(tape):
    """Extensions that are right and huge, full of elements, of reserved ids, of nothing."""
    base = tape.voice(60, skip=range(20, 28))
    bodies = [
        b"\xbe\xde" + struct.pack(">H", 350) + b"\x10\x80" * 700,                      # 700 elements of one byte, all id 1
        b"\xbe\xde" + struct.pack(">H", 350) + b"\0" * 1400,                           # nothing but padding
        b"\x10\x00" + struct.pack(">H", 350) + b"\1\0" * 700,                          # 700 empty two-byte elements
        b"\x10\x0f" + struct.pack(">H", 64) + b"\2\xfe" + b"\xab" * 254,               # one of 254 bytes
        b"\xbe\xde\0\2" + b"\xf0\1\2\3\x10\x80\0\0",                                   # id 15: stop reading here
        b"\xbe\xde\0\2" + b"\x00\x10\x80\x00\x20\x81\x00\x00",                         # padding between the elements
        b"\xca\xfe\0\0",                                                               # a profile that nobody knows, empty
        b"\xbe\xde" + struct.pack(">H", 15000) + b"\x1f" * 60000,                      # 60 kB in one datagram
    ]
    for number, body in enumerate(bodies):
        packet = base[20 + number]
        tape.udp(400 + 20 * number, bytes([packet[0] | 0x10]) + packet[1:12] + body + packet[12:])
    return {"packets": 60, "lost": 0, "other": 0}


def foreign_versions(tape):
    """Versions 0, 1 and 3 with everything else right; STUN, DTLS, TURN channels and ZRTP on the same port (RFC 7983)."""
    packets = tape.voice(60)
    strangers = [bytes([version << 6 | packets[30][0] & 0x3F]) + packets[30][1:] for version in (0, 1, 3)]
    strangers += [
        b"\0\1\0\0\x21\x12\xa4\x42" + b"\7" * 12,                                      # STUN binding request
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\2\1\0",                                       # DTLS handshake
        b"\x40\0\0\x10" + packets[30][:16],                                            # TURN channel data around RTP
        b"\x10\0\0\1ZRTP" + b"\0" * 20,
    ]
    for number, data in enumerate(strangers * 5):
        tape.udp(3 + number * 30, data)
    return {"packets": 60, "other": 35}


def wrong_ssrc(tape):
    """A thousand SSRCs of one packet each, with the numbers and timestamps of the decent stream."""
    packets = tape.voice(100)
    for number in range(1000):
        packet = packets[number // 10]
        ssrc = struct.pack(">I", tape.random.getrandbits(32) | 0x80000000)
        tape.udp(number * 2 + 0.3, packet[:8] + ssrc + packet[12:])
    return {"packets": 100, "other": 1000, "lost": 0}


def stolen_ssrc(tape):
    """Somebody else, from another address, speaks under the decent stream's SSRC with numbers that are ahead of it."""
    tape.voice(100)
    for number in range(40):
        packet = wire.rtp_packet(160 + number, 8000 + 160 * (60 + number), 0x0DECE171, 0, b"\0" * 160)
        tape.udp(410 + 20 * number, packet, source=STRANGER)
    return {"packets": 140, "lost": 0, "duplicates": 0}


def replays(tape):
    """Bursts of what was sent in the second before, and one packet a hundred times at once."""
    packets = tape.voice(150)
    for number in range(0, 100):
        tape.udp(1003 + number // 50 * 1000 + number % 50 * 0.1, packets[number])
    for number in range(100):
        tape.udp(2500 + number * 0.01, packets[120])
    # 51 packets back at most: within RFC 3550's own window for what is merely late.
    return {"packets": 350, "duplicates": 200, "lost": 0, "reordered": 0}


def replayed_from_the_start(tape):
    """The first second again after the end, 4,000 numbers back: true copies, so a replay and no restart."""
    packets = tape.voice(4000)
    for number in range(50):
        tape.udp(80_010 + 20 * number, packets[number])
    return {"packets": 4050, "restarts": 0, "duplicates": 50}


def wrap_at_the_worst_moment(tape):
    """65535 is lost, 0 comes before 65534, 1 comes twice around it: all at the wrap of the number, which starts at 65530."""
    order = [65530, 65531, 65532, 65533, 0, 65534, 1, 65533, 3, 1, 2, 5, 4, 6, 7, 8, 9, 10, 11, 12]
    for place, sequence in enumerate(order):
        extended = sequence - 65530 if sequence > 60000 else sequence + 6
        tape.udp(20 * place, wire.rtp_packet(sequence, 0xFFFFFFFF - 160 * 6 + 160 * extended, 0x0DECE171, 0, tone(extended)))
    for number in range(13, 80):
        tape.udp(20 * (number + 8), wire.rtp_packet(number, 0xFFFFFFFF - 160 * 6 + 160 * (number + 6), 0x0DECE171, 0, tone(number)))
    tape.is_flow(0x0DECE171, 0, "pcmu", 8000)
    return {"packets": 87, "lost": 1, "duplicates": 2, "reordered": 3, "restarts": 0}


def first_packet_late(tape):
    """The stream's first packet, number 0, comes third: the numbers seen begin 1, 2, 0, and before the wrap 65535 comes too."""
    for place, sequence in enumerate([1, 2, 0, 65535, 3, 4]):
        extended = sequence + 1 if sequence < 60000 else 0
        tape.udp(20 * place, wire.rtp_packet(sequence, 160 * extended, 0x0DECE171, 0, tone(0)))
    for number in range(5, 60):
        tape.udp(20 * (number + 1), wire.rtp_packet(number, 160 * (number + 1), 0x0DECE171, 0, tone(0)))
    tape.is_flow(0x0DECE171, 0, "pcmu", 8000)
    return {"packets": 61, "lost": 0, "duplicates": 0, "reordered": 2, "restarts": 0}


def sequence_jumps(tape):
    """Lone packets with numbers far away, which nothing follows, and then one real restart."""
    tape.voice(100)
    for number, step in enumerate((3001, 20000, 32767, 32768, 40000, -101, -5000)):
        tape.udp(410 + 100 * number, wire.rtp_packet(100 + 20 + 5 * number + step, 9_999_999, 0x0DECE171, 0, tone(0)))
    for number in range(50):
        tape.udp(2000 + 20 * number, wire.rtp_packet(30000 + number, 77 + 160 * number, 0x0DECE171, 0, tone(number)))
    return {"packets": 157, "restarts": 1}


def timestamps_astray(tape):
    """Numbers in order and timestamps that stand still, run backwards, leap by half their range, and wrap in mid-stream."""
    plan = [8000 + 160 * n for n in range(20)]
    plan += [plan[-1]] * 10                                                            # still
    plan += [plan[-1] - 160 * n for n in range(1, 11)]                                 # backwards
    plan += [plan[-1] + 0x80000000, plan[-1] + 0x7FFFFFFF, plan[-1] - 0x7FFFFFFF]      # half the range
    plan += [0xFFFFFFFF - 160 * 20 + 160 * n for n in range(60)]                       # a wrap
    for number, timestamp in enumerate(plan):
        tape.udp(20 * number, wire.rtp_packet(100 + number, timestamp, 0x0DECE171, 0, tone(0)))
    tape.is_flow(0x0DECE171, 0, "pcmu", 8000)
    return {"packets": len(plan), "lost": 0, "restarts": 0}


def rtcp(tape):
    """Reports that lie about their length, count or time, requests for the impossible, and a BYE that is not meant."""
    tape.voice(100)
    mine, yours = struct.pack(">I", 0x0DECE171), struct.pack(">I", 0x0000BEEF)

    def packet(kind, count, body, words=None):
        return struct.pack(">BBH", 0x80 | count, kind, len(body) // 4 if words is None else words) + body
    report = struct.pack(">IBxHIIII", 0x0DECE171, 255, 0x7FFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    sender = mine + b"\xff" * 8 + struct.pack(">III", 8000, 0xFFFFFFFF, 0xFFFFFFFF)
    well_formed = [
        packet(201, 31, yours + report),                                               # 31 blocks announced, one there
        packet(200, 0, sender),                                                        # a time in 2036, counts at the limit
        packet(200, 31, sender),
        packet(202, 31, yours + b"\1\xffx\0"),                                         # an SDES item longer than all
        packet(202, 1, yours + b"\1\2ab"),                                             # one without an end
        packet(203, 1, mine),                                                          # BYE in mid-stream
        packet(203, 31, mine),                                                         # 31 leave, one is named
        packet(203, 1, mine + b"\xffby"),                                              # a reason of 255 bytes in two
        packet(204, 0, mine + b"abcd"),                                                # APP
        packet(207, 0, yours + b"\7\0\xff\xff"),                                       # XR with a block of 65,535 words
        packet(205, 1, yours + mine + struct.pack(">HH", 90, 0xFFFF) * 300),           # NACK: 5,100 packets
        packet(205, 15, yours + mine + struct.pack(">HHI", 0, 0xFFFF, 0) + b"\x9f\xff" * 2),  # TWCC: 65,535 statuses
        packet(205, 15, yours + mine + b"\0" * 4),                                     # TWCC that ends in its head
        packet(206, 1, yours + struct.pack(">I", 0)),                                  # PLI for nobody
        packet(206, 4, yours + b"\0" * 4 + mine + b"\xff\0\0\0"),                      # FIR
        packet(206, 4, yours + b"\0" * 4 + mine),                                      # FIR, half an entry
        packet(206, 15, yours + b"\0" * 4 + b"REMB\xff\xff\xff\xff"),                  # REMB of 255 SSRCs, endless rate
        packet(206, 31, yours + mine), packet(223, 0, yours), packet(192, 0, yours),   # kinds that nobody knows
        packet(200, 0, b""), packet(201, 0, b""), packet(203, 0, b""),                 # nothing but a head
        packet(200, 0, sender) + packet(201, 1, yours + report, words=200),            # the second one lies
        packet(201, 0, yours) + b"\x80",                                               # one byte behind
        packet(201, 0, yours) + packet(203, 1, mine)[:3],
        bytes([0xA1]) + packet(203, 1, mine + b"\0\0\0\xff")[1:],                      # padding of 255 bytes
        bytes([0xA0]) + packet(201, 0, yours + b"\0\0\0\4")[1:] + packet(201, 0, yours),  # padding before the last one
        b"".join(packet(201, 0, yours) for _ in range(180)),                           # a compound of 180
    ]
    too_long = [packet(201, 1, yours + report, words=8), packet(203, 1, mine, words=0xFFFF), packet(200, 0, sender)[:20]]
    for number, data in enumerate(well_formed + too_long):
        tape.udp(210 + 50 * number, data, source=THERE, target=HERE)
    for number in range(200):
        tape.udp(1900 + number * 0.2, packet(206, 1, yours + mine), source=THERE, target=HERE)
    return {"packets": 100, "rtcp": len(well_formed) + 200, "other": len(too_long)}


def stap_a(tape):
    """STAP-A whose sizes lie, that hold each other, and one trailing byte."""
    units = tape.pictures()
    nal = b"\x01" + b"\x5a" * 30
    sized = struct.pack(">H", len(nal)) + nal
    bad = [b"\x78", b"\x78\0", b"\x78\0\0", b"\x78\0\0" * 50, b"\x78\xff\xff", b"\x78\xff\xff" + nal, b"\x78" + sized + b"\x01",
           b"\x78" + sized + b"\0\x40" + nal, b"\x78\0\x21\x78" + sized[:31], b"\x78\0\x03\x7c\x85\x01", b"\x78\0\1\0",
           b"\x78" + b"\0\1\x01" * 400, b"\x79" + sized, b"\x7a\0\0" + sized, b"\x7b\0\0" + sized, b"\xf8" + sized]
    count = tape.video(units, {3 + 3 * n: [payload] for n, payload in enumerate(bad)})
    return {"packets": count, "lost": 0}


def fu_a(tape):
    """FU-A without start, without end, started twice, started and ended at once, of kinds that may not be in pieces."""
    units = tape.pictures()
    piece = b"\x5a" * 200
    first, middle, last, both = (b"\x7c\x81" + piece, b"\x7c\x01" + piece, b"\x7c\x41" + piece, b"\x7c\xc1" + piece)
    bad = [[middle], [last], [middle, last], [first], [first, middle], [first, first, last], [both], [first, b"\x7c\x45" + piece],
           [first, b"\x01" + piece, last], [b"\x7c"], [b"\x7c\x81"], [b"\x7c\x81", b"\x7c\x41"], [b"\x7c\x98" + piece],
           [b"\x7c\x9c" + piece, b"\x7c\x5c" + piece], [b"\x7d\x81\0\1" + piece, last], [b"\x7c\xa1" + piece, last],
           [first] + [middle] * 3000]
    count = tape.video(units, {2 + 3 * n: payloads for n, payloads in enumerate(bad)})
    return {"packets": count, "lost": 0, "frames": len(units) + len(bad)}


def h264_garbage(tape):
    """Empty payloads, reserved kinds, forbidden bits, start codes inside, parameter sets that claim a whole continent."""
    units = tape.pictures()
    dice = tape.random
    huge = bytes.fromhex("67640033ac2b4010") + b"\0\4\0\0\3\0\4\0\0\3\0\x79\x08"       # levels and sizes nobody has
    bad = [b"", b"\0", b"\x1e" + b"\1" * 9, b"\x1f" + b"\1" * 9, b"\x80", b"\xe5" + b"\x88" * 40, b"\x09\x10", b"\x0c\xff",
           huge, b"\x67", b"\x67" + b"\xff" * 300, b"\x67" + b"\0" * 300, b"\x68", b"\x68" + b"\xff" * 50, b"\x06\xff\xff\xff\xff",
           b"\x65\0\0\0\1\x65\x88", b"\x65" + dice.randbytes(700), b"\x41" + dice.randbytes(700), b"\x0b"]
    count = tape.video(units, {2 + 3 * n: [payload] for n, payload in enumerate(bad)})
    return {"packets": count, "lost": 0}


def opus_garbage(tape):
    """Opus that breaks each of RFC 6716's rules R1 to R7, and random bytes."""
    dice, bad = tape.random, [
        b"", b"\x7b", b"\x7b\0", b"\x7b\x3f", b"\x7b\xff", b"\x7a", b"\x7a\xff", b"\x7a\x05ab", b"\x79abc", b"\x7b\x41\xff" * 3,
        b"\x7b\x41" + b"\xff" * 60, b"\x7b\xc2\xfe\xff\x00", b"\x7b\x01" + b"\0" * 1277, b"\x7b\x32" + b"\0" * 50, b"\xff" * 1500,
        b"\x78" + b"\0" * 1276, b"\x7b\x83\xfc\0", b"\x03\x31", b"\x7b\x41\0", b"\x7b\x41\5abc"]
    bad += [dice.randbytes(dice.randrange(1, 200)) for _ in range(30)]
    for number in range(150):
        payload = bad[number // 3] if number % 3 == 0 else b"\x78\xff\xfe"
        tape.udp(20 * number, wire.rtp_packet(number, 960 * number, 0x0DECE0B5, 111, payload))
    tape.is_flow(0x0DECE0B5, 111, "opus", 48000)
    return {"packets": 150, "lost": 0}


def telephone_events(tape):
    """Unknown events, ends without starts, durations that shrink, payloads of 0 to 3 bytes, two events in one payload.
    Decent are a 1 and a 2, before and after."""
    sequence, at = 300, 0

    def send(timestamp, payload, marker=0):
        nonlocal sequence, at
        tape.udp(at, wire.rtp_packet(sequence, timestamp, 0x0DECE171, 101, payload, marker))
        sequence, at = sequence + 1, at + 20

    def press(event, timestamp):
        for step in range(1, 6):
            send(timestamp, struct.pack(">BBH", event, 10, 160 * step), step == 1)
        for _ in range(3):
            send(timestamp, struct.pack(">BBH", event, 0x8A, 800))
    press(1, 8000)
    for size in range(4):
        send(20000 + size, b"\3\x0a\1"[:size], 1)
    for event in (17, 64, 192, 255):
        press(event, 30000 + 2000 * event)
    press(2, 900000)
    tape.is_flow(0x0DECE171, 101, "telephone-event", 8000)
    return {"packets": sequence - 300, "lost": 0}


def garbage(tape):
    """Datagrams of random bytes and of every size up to 1,472, and of one repeated byte."""
    tape.voice(60)
    other = 0
    for number in range(300):
        data = tape.random.randbytes(tape.random.randrange(0, 1473))
        # What happens to look like RTP or RTCP would be a packet: make it neither.
        data = bytes([data[0] & 0x3F]) + data[1:] if data else data
        tape.udp(2 + number * 4, data)
        other += 1
    for value in (0x00, 0x40, 0xC0, 0xFF):
        tape.udp(1300 + value, bytes([value]) * 1200)
        other += 1
    return {"packets": 60, "other": other, "lost": 0}


def lower_layers(tape):
    """ARP, TCP, ICMP, IP fragments, IP and UDP lengths that lie, IPv6 extension headers, frames of a few bytes."""
    packets = tape.voice(60)
    good = wire.ipv4_udp(HERE, THERE, packets[10])
    eth = wire.ethernet(good)[:14]

    def changed(at, data):
        return eth + good[:at] + data + good[at + len(data):]
    frames = [b"", eth[:13], eth, eth[:12] + b"\x08\x06" + b"\0" * 28, changed(9, b"\x06"), changed(9, b"\x01"),
              changed(6, b"\x20\x00"), changed(6, b"\x00\x19"), changed(0, b"\x41"), changed(0, b"\x4f"), changed(0, b"\x55"),
              changed(2, b"\x00\x10"), eth + good[:19], eth + good[:27], eth[:12] + b"\x81\x00", eth[:12] + b"\x81\x00\x00",
              eth[:12] + b"\x81\x00\x00\x05" * 40 + b"\x08\x00" + good, eth[:12] + b"\x86\xdd" + b"\x60" + b"\0" * 20]
    for number, frame in enumerate(frames):
        tape.frame(5 + 20 * number, frame)
    # What of this is still a datagram is a matter of taste; that nothing of the stream is lost is not.
    return {"lost": 0, "packets": None, "duplicates": None, "reordered": None, "other": None, "warnings": 3}


def bit_flips(tape):
    """Decent packets with bits flipped at random in flags, numbers, timestamps and payloads."""
    for number in range(400):
        data = bytearray(wire.rtp_packet(number, 160 * number, 0x0DECE171, 0, tone(number)))
        if number % 2:
            for _ in range(tape.random.randrange(1, 6)):
                place, bit = tape.random.choice([(0, 5), (0, 4), (0, 3), (0, 2), (0, 1), (0, 0), (1, 7), (2, 6), (3, 1), (3, 0),
                                                 (4, 7), (6, 3), (7, 0), (12, 7), (13, 0), (14, 4), (171, 3)])
                data[place] ^= 1 << bit
        tape.udp(20 * number, bytes(data))
    tape.is_flow(0x0DECE171, 0, "pcmu", 8000)
    return {"packets": 400, "other": 0, "lost": None, "reordered": None, "duplicates": None, "restarts": None}


RECORD = 16 + 14 + 28 + 12 + 160  # a record of a pcap file with one packet of voice


def file_cut(tape):
    """A capture that ends in the middle of its last record."""
    tape.voice(60)
    tape.finish = lambda data: data[:-100]
    return {"packets": 59, "lost": 0, "warnings": 1}


def file_lying_record(tape):
    """A record that claims four gigabytes; what comes before it is good."""
    tape.voice(60)
    at = 24 + 40 * RECORD + 8
    tape.finish = lambda data: data[:at] + b"\xf0\xff\xff\xff" + data[at + 4:]
    return {"packets": 40, "lost": 0, "warnings": 1}


def file_snap_length(tape):
    """A capture with a snap length of 60 bytes: headers whole, sound cut off."""
    tape.voice(60)

    def cut(data):
        out = bytearray(data[:24])
        for at in range(24, len(data), RECORD):
            out += data[at:at + 8] + struct.pack("<I", 60) + data[at + 12:at + 16] + data[at + 16:at + 76]
        return bytes(out)
    tape.finish = cut
    return {"packets": 60, "lost": 0, "warnings": 1}


def file_times_backward(tape):
    """A capture whose second half was written before its first: the times run backwards once."""
    tape.voice(60)
    middle = 24 + 30 * RECORD
    tape.finish = lambda data: data[:24] + data[middle:] + data[24:middle]
    return {"packets": 60, "lost": 0, "reordered": None, "warnings": 1}


def file_pcapng_lying_block(tape):
    """A pcapng file of 60 packets, with a block of four gigabytes after the thirtieth."""
    tape.voice(60)
    tape.ending = "pcapng"

    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    def rewrite(_):
        out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", wire.LINK_ETHERNET, 0, 0))
        for number, (when, frame) in enumerate(tape.frames):
            if number == 30:
                out += struct.pack("<II", 5, 0xFFFFFFF0) + b"\0" * 8
            micros = when // 1000
            out += block(6, struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(frame), len(frame)) + frame)
        return out
    tape.finish = rewrite
    return {"packets": 30, "lost": 0, "warnings": 1}


def file_compressed(tape):
    """A capture that somebody packed with gzip: to be refused with advice."""
    tape.voice(20)
    tape.flows = []
    # Level and header fixed, so that the bytes are the same everywhere.
    tape.finish = lambda data: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + zlib.compressobj(0, wbits=-15).flush() + bytes(8)
    tape.ending = "pcap.gz"
    return {"refused": "gzip"}


def file_of_nothing(tape):
    """Sixteen kilobytes that are no format at all: to be refused."""
    tape.finish = lambda _: bytes([0xFE, 0x01, 0x02, 0x03]) * 4096
    tape.ending = "bin"
    return {"refused": "no recording"}


CASES = {
    "file-cut": file_cut, "file-lying-record": file_lying_record, "file-snap-length": file_snap_length,
    "file-times-backward": file_times_backward, "file-pcapng-lying-block": file_pcapng_lying_block,
    "file-compressed": file_compressed, "file-of-nothing": file_of_nothing,
    "truncated-headers": truncated_headers, "lying-lengths": lying_lengths, "extension-bombs": extension_bombs,
    "foreign-versions": foreign_versions, "wrong-ssrc": wrong_ssrc, "stolen-ssrc": stolen_ssrc, "replays": replays,
    "replayed-from-the-start": replayed_from_the_start, "wrap-at-the-worst-moment": wrap_at_the_worst_moment,
    "first-packet-late": first_packet_late, "sequence-jumps": sequence_jumps, "timestamps-astray": timestamps_astray,
    "rtcp": rtcp, "h264-stap-a": stap_a, "h264-fu-a": fu_a, "h264-garbage": h264_garbage, "opus-garbage": opus_garbage,
    "telephone-events": telephone_events, "garbage": garbage, "lower-layers": lower_layers, "bit-flips": bit_flips,
}
KINDS = {"h264": "h264", "opus": "opus", "rtcp": "rtcp", "telephone": "telephone-event"}

RECIPES = {
    f"hostile/{name}": {"tags": ["hostile", *[tag for word, tag in KINDS.items() if name.startswith(word)]], "case": name}
    for name in CASES
}


class Contradiction(Exception):
    """What a case says by construction is not what its file holds."""


def make(recipe, work):
    """Writes one case: (path, ending, entry)."""
    tape = Tape(recipe["id"], work)
    case = CASES[recipe["case"]]
    expected = case(tape)
    path = os.path.join(work, f"hostile-{recipe['case']}.{tape.ending}")
    tape.frames.sort(key=lambda frame: frame[0])
    wire.write_pcap(path, wire.LINK_ETHERNET, tape.frames, nanoseconds=True)
    if tape.finish:
        with open(path, "rb") as file:
            data = tape.finish(file.read())
        with open(path, "wb") as file:
            file.write(data)
    say = f"written byte by byte (recipes/kit/hostile.py): {' '.join(case.__doc__.split())}"
    if "refused" in expected:
        return path, tape.ending, {"origin": say, "truth": expected}
    count = judge.Count(path)
    found = {name: count.total(name) for name in ("packets", "lost", "reordered", "duplicates", "restarts")}
    found |= {"rtcp": count.rtcp, "other": count.other, "duration_ms": count.duration_ms()}
    if "frames" in expected:
        found["frames"] = sum(len(times) for flow in count.flows.values() for times in flow.timestamps.values())
    for name, value in expected.items():
        # None: not said, since specifications differ. What the count does not know (warnings) is said alone.
        if value is not None and found.setdefault(name, value) != value:
            raise Contradiction(f"{recipe['id']}: {name} is {value} by construction, {found[name]} by count")
    truth = {name: value for name, value in found.items() if expected.get(name, value) is not None}
    if not truth.get("restarts"):
        truth.pop("restarts", None)
    return path, tape.ending, {"origin": say, "flows": tape.flows, "truth": truth}
