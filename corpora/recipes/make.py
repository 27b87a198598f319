#!/usr/bin/env python3
"""Makes the recordings again: real encoders, real senders, a real relay, a real capture.

    make.py ID... | all      make these recordings (ID may end in '*') and bring manifest.toml up to date
    make.py --list           what there is to make, with the first words of each origin
    make.py --needs [ID...]  what is missing on this machine, to make all of them or these
    make.py --check          judge what lies in recordings/ again (digests, recipes, one timestamp per frame), making nothing

The table is recipes.toml (sent and elementary recordings) and kit/hostile.py (recordings written byte by byte). Arrival times
are real, so a recording made again has another digest; the manifest follows, and everything else in it should not change.
"""

import argparse
import copy
import fcntl
import fnmatch
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zlib

from kit import bitstreams, calls, hostile, judge, manifest, senders, sources, wire

HERE = os.path.dirname(os.path.abspath(__file__))
CORPORA = os.path.dirname(HERE)
RECORDINGS = os.path.join(CORPORA, "recordings")
MANIFEST = os.path.join(CORPORA, "manifest.toml")
LICENCE = "MIT OR Apache-2.0"

PROGRAMS = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "gst-launch-1.0": "gstreamer1.0-tools", "espeak-ng": "espeak-ng",
            "sox": "sox", "x264": "x264", "opusenc": "opus-tools", "tshark": "tshark", "dumpcap": "wireshark-common",
            "tcpdump": "tcpdump", "baresip": "baresip-core"}
ELEMENTS = {"opusenc": "gstreamer1.0-plugins-base", "rtpopuspay": "gstreamer1.0-plugins-good",
            "rtph264pay": "gstreamer1.0-plugins-good", "openh264enc": "gstreamer1.0-plugins-bad",
            "rtpdtmfsrc": "gstreamer1.0-plugins-bad", "y4mdec": "gstreamer1.0-plugins-bad"}


class Fault(Exception):
    """A recording that cannot be made, or was made and is not what its recipe says."""


def missing(recipes):
    """A line for each thing that is missing here for these recipes. What is written byte by byte needs Python, and some of it
    pictures: those who make them say so."""
    if all(recipe.get("kind") == "written" for recipe in recipes):
        return []
    faults = [f"{name} (package {package})" for name, package in PROGRAMS.items() if not shutil.which(name)]
    if shutil.which("gst-inspect-1.0"):
        for name, package in ELEMENTS.items():
            if subprocess.run(["gst-inspect-1.0", "--exists", name], check=False).returncode:
                faults.append(f"GStreamer's {name} (package {package})")
    probe = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"
    if subprocess.run(["/usr/bin/python3", "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode:
        faults.append("GStreamer for Python (packages python3-gi gir1.2-gstreamer-1.0)")
    if os.geteuid():
        faults.append("the right to capture on the loopback interface (run it as root)")
    return faults


def resolve(recipe, found):
    """Fills in what an entry takes from others: `like` (the same packets, another network), sources and videos by id."""
    recipe.setdefault("truth", {})
    if "like" in recipe:
        model = resolve(copy.deepcopy(found[recipe["like"]]), found)
        recipe["stream"] = model["stream"]
        for stream in recipe["stream"]:
            stream["network"] = recipe["network"]
            stream.pop("rtcp", None)
        known = {key: model["truth"][key] for key in ("reference", "words", "digits") if key in model["truth"]}
        recipe["truth"] = {"clean": recipe["like"]} | known | recipe["truth"]
    named = []
    for number, stream in enumerate(recipe.get("stream", [])):
        seed = zlib.crc32(f"{recipe['id']}/{number}".encode())
        chance = {"ssrc": seed | 1, "sequence": seed & 0x7FFF, "timestamp": (seed * 2654435761) & 0x7FFFFFFF}
        recipe["stream"][number] = stream = chance | stream
        for key in ("source", "video"):
            if isinstance(stream.get(key), str):
                named.append(stream[key])
                stream[key] = found[stream[key]][key]
    if len(named) == 1 and len(recipe["stream"]) == 1:
        recipe["truth"].setdefault("reference", named[0])
        words = found[named[0]].get("truth", {}).get("words")
        if words:
            recipe["truth"].setdefault("words", words)
    return recipe


def table():
    """All recipes by id, those of the table and those written byte by byte."""
    with open(os.path.join(HERE, "recipes.toml"), "rb") as file:
        rows = tomllib.load(file)["recipe"]
    found = {recipe["id"]: recipe for recipe in rows}
    if len(found) != len(rows):
        raise SystemExit("recipes.toml has an id twice")
    found = {ident: resolve(copy.deepcopy(recipe), found) for ident, recipe in found.items()}
    for ident, recipe in hostile.RECIPES.items():
        found[ident] = dict(recipe, id=ident, kind="written")
    return dict(sorted(found.items()))


def prompt(command):
    """The command under a real-time priority if we may, so that arrival times are the sender's and not the machine's load."""
    return ["chrt", "-r", "5", *command] if os.geteuid() == 0 and shutil.which("chrt") else command


def capture_command(how, path, ports):
    """What captures these ports into this file, and the words it says when it is ready. Removes what lies there."""
    if os.path.exists(path):
        os.unlink(path)
    which = "udp and (" + " or ".join(f"dst port {port}" for port in ports) + ")"
    if how == "pcapng":
        return ["dumpcap", "-q", "-i", "lo", "-f", which, "-w", path], "File:"
    extra = {"pcap-us": ["-i", "lo"], "pcap-ns": ["-i", "lo", "--time-stamp-precision=nano"],
             "sll": ["-i", "any", "-y", "LINUX_SLL"], "sll2": ["-i", "any", "-y", "LINUX_SLL2"]}[how]
    return ["tcpdump", "-U", "-s", "0", *extra, "-w", path, which], "listening on"


def await_words(process, words, what):
    """Reads a program's own messages until it says that it is ready."""
    heard = b""
    while line := process.readline():
        heard += line
        if words.encode() in line:
            return
    raise Fault(f"{what} did not start: {heard.decode(errors='replace')[-300:]}")


def stop(process, how, what):
    """Ends a child by its id and waits."""
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Fault(f"{what} did not end") from None


def plan(recipe, base):
    """Gives every stream its ports: (streams, far end's configuration, captured ports)."""
    far, ports, streams = {"links": [], "sinks": []}, [], []
    for number, stream in enumerate(recipe["stream"]):
        host = stream.get("host", "127.0.0.1")
        port = base + 10 * number
        if "same_port_as" in stream:
            port = base + 10 * stream["same_port_as"]
        near = [stream.get("near_host", host), base + 10 * number + 2]
        if "same_source_as" in stream:
            near[1] = base + 10 * stream["same_source_as"] + 2
        target = [host, port]
        stream = {**stream, "bind": near}
        if "network" in stream:
            inside = [host, base + 10 * number + 4]
            far["links"].append({"listen": inside, "forward": target, "source": [host, base + 10 * number + 6],
                                 "seed": stream.get("seed", recipe["id"]), "network": stream["network"]})
            stream["link"], target = len(far["links"]) - 1, inside
        for sink in (port, port + 1):
            if [host, sink] not in far["sinks"]:
                far["sinks"].append([host, sink])
                ports.append(sink)
        streams.append((stream, target))
    return streams, far, ports


def send(recipe, work, base):
    """Runs senders, relay and capture in real time: (raw capture, relay logs, plan, origins)."""
    streams, far, ports = plan(recipe, base)
    stem = os.path.join(work, f"run-{base}")
    config, log, raw = stem + ".json", stem + ".log", stem + ".cap"
    if os.path.exists(log):
        os.unlink(log)
    with open(config, "w", encoding="utf-8") as out:
        json.dump(far, out)
    # Everything is encoded before anything runs, so that encoders do not disturb each other's senders.
    commands = [senders.SENDERS[stream["sender"]](work, stream, target) for stream, target in streams]
    end = subprocess.Popen(prompt([sys.executable, os.path.join(HERE, "kit", "farend.py"), config, log]),
                           stdout=subprocess.PIPE)
    await_words(end.stdout, "ready", "the far end")
    command, words = capture_command(recipe.get("capture", "pcap-us"), raw, ports)
    capture = subprocess.Popen(prompt(command), stderr=subprocess.PIPE)
    await_words(capture.stderr, words, command[0])
    time.sleep(0.3)
    running, start = [], time.monotonic()
    try:
        for (stream, _), (command, _) in sorted(zip(streams, commands), key=lambda pair: pair[0][0].get("start", 0)):
            time.sleep(max(0.0, start + stream.get("start", 0) - time.monotonic()))
            running.append(subprocess.Popen(prompt(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for process in running:
            said = process.communicate(timeout=recipe.get("limit_s", 120))[0].decode(errors="replace")
            if process.returncode:
                raise Fault(f"{process.args[:4]} ended with {process.returncode}: {said[-800:]}")
        time.sleep(1.0)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
        stop(capture, signal.SIGINT, "the capture")
        stop(end, signal.SIGTERM, "the far end")
    with open(log, encoding="utf-8") as file:
        return raw, json.load(file), streams, ports, list(dict.fromkeys(origin for _, origin in commands))


def relink(recipe, raw, path):
    """Puts the captured packets and their times into the file format and link layer that the recipe asks for."""
    how = recipe.get("relink")
    if how is None:
        shutil.copyfile(raw, path)
    elif how == "rtpdump":
        wire.write_rtpdump(path, list(wire.datagrams(raw)))
    else:
        packets = [(when, wire.ip_of(link, frame)) for when, link, frame in wire.records(raw)]
        order = ">" if "big-endian" in how else "<"
        if "raw" in how:
            wire.write_pcap(path, wire.LINK_RAW, packets, order, "ns" in how)
        else:
            vlans = {"vlan": (5,), "qinq": (100, 5)}.get(how.split()[0], ())
            frames = [(when, wire.ethernet(packet, vlans)) for when, packet in packets]
            wire.write_pcap(path, wire.LINK_ETHERNET, frames, order, "ns" in how)


def codec_of(stream):
    """(codec, clock rate) of a stream of the table."""
    sender = stream["sender"]
    if sender.endswith("h264"):
        return "h264", 90000
    if "law" in stream:
        return f"pcm{'u' if stream['law'] == 'mu' else 'a'}", 8000
    if sender == "ffmpeg-audio":
        return {"libopus": "opus", "pcm_mulaw": "pcmu", "pcm_alaw": "pcma"}[stream["args"][1]], \
            48000 if stream["args"][1] == "libopus" else 8000
    if sender == "gst-keys" and "opus" not in stream:
        return None, None
    return "opus", 48000


def flows_of(streams, count):
    """The manifest's flows: one per SSRC and payload type that the table announces and the capture has."""
    found = []
    for stream, _ in streams:
        flow = count.flows.get(stream["ssrc"])
        if flow is None:
            raise Fault(f"nothing of SSRC 0x{stream['ssrc']:08x} was captured (captured: {[hex(s) for s in count.flows]})")
        codec, rate = codec_of(stream)
        facts = {"packets": flow.packets, "lost": flow.lost(), "reordered": flow.reordered, "duplicates": flow.duplicates}
        if codec:
            found.append({"ssrc": stream["ssrc"], "payload_type": stream["payload_type"], "codec": codec, "clock_rate": rate,
                          **{key: stream[key] for key in ("layer", "content") if key in stream}, "truth": facts})
        if "event_type" in stream and stream["event_type"] in flow.types:
            found.append({"ssrc": stream["ssrc"], "payload_type": stream["event_type"], "codec": "telephone-event",
                          "clock_rate": stream.get("clock_rate", 8000), **({} if codec else {"truth": facts})})
    unique = {(flow["ssrc"], flow["payload_type"]): flow for flow in found}
    strangers = set(count.flows) - {stream["ssrc"] for stream, _ in streams}
    if strangers:
        raise Fault(f"captured streams that the table does not know: {[hex(ssrc) for ssrc in strangers]}")
    return list(unique.values())


def truth_of(recipe, streams, count, log, work):
    """The facts of a sent recording: counted, plus what is known by construction (given in the table)."""
    truth = {name: count.total(name) for name in ("packets", "lost", "reordered", "duplicates", "restarts")}
    truth |= {"rtcp": count.rtcp, "other": count.other, "duration_ms": count.duration_ms()}
    if not truth["restarts"]:
        del truth["restarts"]
    truth |= recipe.get("truth", {})
    videos = [stream for stream, _ in streams if "video" in stream]
    if videos:
        truth["frames"] = sum(len(count.flows[stream["ssrc"]].timestamps[stream["payload_type"]]) for stream in videos)
        truth["whole_frames"] = sum(whole_frames(stream, count.flows[stream["ssrc"]], log) for stream in videos)
    if len(videos) == 1 and not truth["lost"] and not recipe.get("undecoded"):
        annexb = bitstreams.encode(work, videos[0]["video"])[1]
        truth["decoded_digest"], truth["decoded_frames"], truth["resolution"] = bitstreams.digest(annexb)
    drift = {stream["network"]["drift_ppm"] for stream, _ in streams if "drift_ppm" in stream.get("network", {})}
    if drift:
        truth["drift_ppm"] = float(drift.pop())
    return truth


def against_twin(recipe, streams, count):
    """A sentence if any captured packet differs from the one of the same number in the undamaged twin."""
    twin = manifest.read(MANIFEST).get(recipe["truth"].get("clean"))
    if twin is None:
        return [f"make {recipe['truth']['clean']} first"] if "clean" in recipe["truth"] else []
    clean = judge.Count(os.path.join(RECORDINGS, twin["file"]))
    faults = []
    for stream, _ in streams:
        other = clean.flows[stream["ssrc"]].payloads
        by_sequence = {packet.sequence: packet.bytes for packet in other.values()}
        differ = sum(1 for packet in count.flows[stream["ssrc"]].payloads.values()
                     if by_sequence.get(packet.sequence) != packet.bytes)
        if differ:
            faults.append(f"{differ} packets of 0x{stream['ssrc']:08x} are not those of {recipe['truth']['clean']}")
    return faults


def whole_frames(stream, flow, log):
    """Frames of which every packet arrived, by what the relay says it lost."""
    if "link" not in stream:
        return len(flow.timestamps[stream["payload_type"]])
    lines = log["links"][stream["link"]]
    return len({line[2] for line in lines} - {line[2] for line in lines if line[3].startswith("lost")})


def verify(recipe, streams, count, path, log, ports, work):
    """Compares the capture with everything else that knows: the relay's log, tshark, the bitstream that was sent, the keys."""
    faults = against_twin(recipe, streams, count)
    for stream, _ in streams:
        flow = count.flows[stream["ssrc"]]
        faults += judge.stamping(stream["ssrc"], flow, stream.get("payload_type"), codec_of(stream)[0] or "telephone-event")
        if "link" in stream:
            faults += judge.against_log(count, stream["ssrc"], log["links"][stream["link"]])
        elif flow.lost() or flow.duplicates or flow.reordered:
            faults.append(f"0x{stream['ssrc']:08x} came damaged though nothing damages it: lost {flow.lost()}")
        if "video" in stream and not flow.lost() and not recipe.get("undecoded"):
            annexb = bitstreams.encode(work, stream["video"])[1]
            again = os.path.join(work, f"again-{os.getpid()}.264")
            with open(again, "wb") as out:
                out.write(judge.annexb_of(flow))
            sent, came = bitstreams.digest(annexb), bitstreams.digest(again)
            if sent != came:
                faults.append(f"what was captured decodes to {came}, what was sent to {sent}")
            stamps = len(flow.timestamps[stream["payload_type"]])
            if stamps != sent[1]:
                faults.append(f"{sent[1]} frames were sent under {stamps} timestamps")
            print(f"    packets: {judge.shapes(flow)}, {sent[1]} frames of {sent[2]}")
        elif codec_of(stream)[0] == "opus":
            shapes = judge.opus_shapes(flow) if "event_type" not in stream else {}
            print(f"    opus: {shapes}")
        if "event_type" in stream and "digits" in recipe.get("truth", {}):
            heard = judge.digits_of([packet for _, packet in sorted(flow.payloads.items())
                                     if packet.payload_type == stream["event_type"]])
            if heard != recipe["truth"]["digits"]:
                faults.append(f"pressed {recipe['truth']['digits']}, captured {heard}")
    if "rtpdump" not in recipe.get("relink", ""):
        faults += judge.disagreement(path, count, ports)
    return faults


def make_call(recipe, work, base):
    """One SIP call between two real clients: (path, ending, entry). Streams are found in the capture, not announced."""
    ports = [base, base + 10, *range(base + 50, base + 80)]
    raw = os.path.join(work, f"run-{base}.cap")
    command, words = capture_command(recipe.get("capture", "pcap-us"), raw, ports)
    capture = subprocess.Popen(prompt(command), stderr=subprocess.PIPE)
    await_words(capture.stderr, words, command[0])
    time.sleep(0.3)
    try:
        calls.run(recipe, work, base)
    finally:
        stop(capture, signal.SIGINT, "the capture")
    count = judge.Count(raw)
    flows = []
    for ssrc, flow in sorted(count.flows.items()):
        facts = {"packets": flow.packets, "lost": flow.lost(), "reordered": flow.reordered, "duplicates": flow.duplicates}
        for payload_type in sorted(flow.types):
            codec, rate = {0: ("pcmu", 8000), 8: ("pcma", 8000), 101: ("telephone-event", 8000)}.get(
                payload_type, ("opus", 48000))
            flows.append({"ssrc": ssrc, "payload_type": payload_type, "codec": codec, "clock_rate": rate, "truth": facts})
    faults = judge.disagreement(raw, count, [])
    events = [packet for flow in count.flows.values() for _, packet in sorted(flow.payloads.items())
              if packet.payload_type == 101]
    if judge.digits_of(events) != recipe["truth"].get("digits", ""):
        faults.append(f"captured {judge.digits_of(events)!r}")
    if len(count.flows) != 2 or any(count.total(name) for name in ("lost", "duplicates", "reordered")):
        faults.append(f"{len(count.flows)} streams, {count.total('lost')} lost")
    if faults:
        raise Fault("; ".join(faults))
    truth = {name: count.total(name) for name in ("packets", "lost", "reordered", "duplicates")}
    truth |= {"rtcp": count.rtcp, "other": count.other, "duration_ms": count.duration_ms()} | recipe["truth"]
    how = {"pcapng": "dumpcap"}.get(recipe.get("capture"), "tcpdump")
    return raw, extension(recipe), {"origin": f"{calls.origin(recipe)}; captured on loopback by {how}", "flows": flows,
                                    "truth": truth}


def extension(recipe):
    """The file name's ending says the format, for people; the readers look at the bytes."""
    if "relink" in recipe:
        return "rtpdump" if recipe["relink"] == "rtpdump" else "pcap"
    return "pcapng" if recipe.get("capture") == "pcapng" else "pcap"


def make_sent(recipe, work, base):
    """One recording that is sent and captured: (bytes' path, entry without digest)."""
    raw, log, streams, ports, origins = send(recipe, work, base)
    path = os.path.join(work, f"out-{base}.{extension(recipe)}")
    relink(recipe, raw, path)
    count = judge.Count(path)
    flows = flows_of(streams, count)
    faults = verify(recipe, streams, count, path, log, ports, work)
    if faults:
        raise Fault("; ".join(faults))
    how = {"pcapng": "dumpcap"}.get(recipe.get("capture"), "tcpdump")
    origin = " | ".join(origins) + f"; captured on loopback by {how}"
    if any("network" in stream for stream, _ in streams):
        origin += ", behind a relay that damages it (recipes/kit/farend.py)"
    entry = {"origin": origin, "flows": flows, "truth": truth_of(recipe, streams, count, log, work)}
    return path, extension(recipe), entry


def make_elementary(recipe, work):
    """A WAV, Ogg Opus or Annex B file."""
    if "video" in recipe:
        path = bitstreams.encode(work, recipe["video"])[1]
        digest, frames, resolution = bitstreams.digest(path)
        units = bitstreams.access_units(path)
        if units != frames:
            raise Fault(f"{units} access units, but ffmpeg shows {frames} frames")
        truth = {"frames": units, "decoded_frames": frames, "decoded_digest": digest, "resolution": resolution}
        return path, "264", {"origin": senders.origin_of_video(recipe["video"]), "truth": truth | recipe.get("truth", {})}
    wav = sources.make(work, recipe["source"])
    milliseconds = round(float(sources.run(["soxi", "-D", wav])) * 1000)
    if "ogg" not in recipe:
        return wav, "wav", {"origin": senders.origin_of_source(recipe["source"]),
                            "truth": {"duration_ms": milliseconds} | recipe.get("truth", {})}
    path = os.path.join(work, f"out-{os.getpid()}.opus")
    sources.run(["opusenc", "--quiet", "--serial", "7", *recipe["ogg"], wav, path])
    packets = int(sources.run(["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of",
                               "csv=p=0", path]).decode().strip().strip(","))
    origin = f"{senders.origin_of_source(recipe['source'])}; opusenc with libopus {senders.version('libopus')}"
    return path, "opus", {"origin": origin, "truth": {"packets": packets, "duration_ms": milliseconds}
                          | recipe.get("truth", {})}


def make_one(recipe, work, base):
    """Makes one recording, puts it in its place and returns its entry."""
    kind = recipe.get("kind", "sent")
    if kind == "written":
        path, ending, entry = hostile.make(recipe, work)
    elif kind == "call":
        path, ending, entry = make_call(recipe, work, base)
    elif kind == "elementary":
        path, ending, entry = make_elementary(recipe, work)
    else:
        path, ending, entry = make_sent(recipe, work, base)
    ident = recipe["id"]
    file = f"{ident}.{ending}"
    place = os.path.join(RECORDINGS, file)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    shutil.copyfile(path, place + ".part")
    os.replace(place + ".part", place)
    with open(place, "rb") as data:
        digest = hashlib.sha256(data.read()).hexdigest()
    return {"id": ident, "file": file, "sha256": digest, "licence": LICENCE, "recipe": f"recipes/make.sh {ident}",
            "tags": recipe["tags"], "flows": [], **entry}


def check(recipes):
    """Judges what lies there again, against the manifest: the process exit code."""
    entries, faults = manifest.read(MANIFEST), 0
    for ident, entry in sorted(entries.items()):
        path = os.path.join(RECORDINGS, entry["file"])
        with open(path, "rb") as data:
            if hashlib.sha256(data.read()).hexdigest() != entry["sha256"]:
                print(f"{ident}: the digest differs")
                faults += 1
        if ident not in recipes and entry["recipe"].startswith("none:"):
            continue  # It was recorded once, and says so.
        if ident not in recipes:
            print(f"{ident}: no recipe")
            faults += 1
        elif recipes[ident].get("kind", "sent") in ("sent", "call"):
            count = judge.Count(path)
            for flow in entry["flows"]:
                for fault in judge.stamping(flow["ssrc"], count.flows[flow["ssrc"]], flow["payload_type"], flow["codec"]):
                    print(f"{ident}: {fault}")
                    faults += 1
    for ident in set(recipes) - set(entries):
        print(f"{ident}: a recipe, but no recording")
        faults += 1
    print(f"{len(entries)} recordings, {faults} faults")
    return 1 if faults else 0


def main():
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("ids", nargs="*", metavar="ID")
    reader.add_argument("--list", action="store_true")
    reader.add_argument("--needs", action="store_true")
    reader.add_argument("--check", action="store_true")
    reader.add_argument("--work", default="/tmp/callrig-recipes", help="where sources and bitstreams are kept")
    wanted = reader.parse_args()
    recipes = table()
    if wanted.list:
        print("\n".join(recipes))
        return 0
    if wanted.check:
        return check(recipes)
    patterns = ["*"] if wanted.ids == ["all"] or wanted.needs and not wanted.ids else wanted.ids
    chosen = [ident for ident in recipes if any(fnmatch.fnmatchcase(ident, pattern) for pattern in patterns)]
    lacking = missing([recipes[ident] for ident in chosen])
    if lacking or wanted.needs:
        print("missing: " + "; ".join(lacking) if lacking else "nothing is missing", file=sys.stderr)
        return 2 if lacking else 0
    for pattern in patterns:
        if not fnmatch.filter(recipes, pattern):
            print(f"no recipe is called {pattern!r}; see --list", file=sys.stderr)
            return 2
    if not chosen:
        reader.print_usage(sys.stderr)
        return 2
    os.makedirs(wanted.work, exist_ok=True)
    failed, ports = [], {ident: 10000 + 100 * number for number, ident in enumerate(recipes)}
    for ident in chosen:
        print(ident, flush=True)
        try:
            entry = make_one(recipes[ident], wanted.work, ports[ident])
        except (Fault, hostile.Contradiction, sources.MissingTool, subprocess.TimeoutExpired) as fault:
            print(f"  FAILED: {fault}", file=sys.stderr)
            failed.append(ident)
            continue
        # Read again each time, under a lock: another make.py may have added its own meanwhile.
        with open(os.path.join(wanted.work, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = manifest.read(MANIFEST)
            entries[ident] = entry
            manifest.write(MANIFEST, entries)
        print(f"  {os.path.getsize(os.path.join(RECORDINGS, entry['file']))} bytes, {entry['truth']}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(chosen)} failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
