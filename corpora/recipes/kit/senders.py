"""Command lines of the real senders: GStreamer and ffmpeg. One function per sender of the recipe table.

Each takes the working folder, the stream's entry and where it goes, and returns (command, origin): what to run, and the words
for the manifest. SSRC, first sequence number and first timestamp come from the table, so that the same recipe sends the same
packets again; only the moments differ.
"""

import functools
import json
import os
import re

from kit import bitstreams, sources


# Under which number packets name their layer.
LAYER_ID = 4


@functools.cache
def version(program):
    """What a program calls itself."""
    asked = {
        "gst": (["gst-launch-1.0", "--version"], r"GStreamer ([\d.]+)"),
        "ffmpeg": (["ffmpeg", "-version"], r"ffmpeg version ([\d.]+)"),
        "espeak-ng": (["espeak-ng", "--version"], r"text-to-speech: ([\d.]+)"),
        "sox": (["sox", "--version"], r"v([\d.]+)"),
        "x264": (["x264", "--version"], r"x264 ([\d.]+ \w+)"),
        "libopus": (["opusenc", "--version"], r"libopus ([\d.]+)"),
        "openh264": (["sh", "-c", "ldconfig -p | grep -o 'libopenh264.so.[0-9.]*' | sort | tail -1"], r"so\.([\d.]+)"),
    }[program]
    command, pattern = asked
    return re.search(pattern, sources.run(command).decode()).group(1)


def origin_of_source(source):
    """Words for what was encoded."""
    kind = source["kind"]
    if kind == "speech":
        return f"espeak-ng {version('espeak-ng')}, voice {source['voice']}"
    return {"silence": "digital silence", "music": f"plucked chords by sox {version('sox')}",
            "sweep": f"sine sweep by sox {version('sox')}", "digits": "DTMF tone pairs computed from ITU-T Q.23",
            "picture": f"ffmpeg {version('ffmpeg')} generator, {source.get('look', 'moving')}"}[kind]


def udp(stream, target):
    """GStreamer's sink, bound to a port of ours so that the flow is the same in every run."""
    host, port = target
    extra = f"bind-address={stream['bind'][0]} bind-port={stream['bind'][1]}"
    return f"udpsink host={host} port={port} {extra}"


def numbers(stream):
    """The properties that fix what RTP would draw by chance."""
    return (f"pt={stream['payload_type']} ssrc={stream['ssrc']} seqnum-offset={stream['sequence']} "
            f"timestamp-offset={stream['timestamp']}")


def with_rtcp(stream, target, chain):
    """The chain behind an rtpbin that sends sender reports and a BYE to the next port, if the entry says so."""
    if not stream.get("rtcp"):
        return f"{chain} ! {udp(stream, target)}"
    host, port = target
    control = port if stream["rtcp"] == "mux" else port + 1
    bind = stream["bind"][1] + (4 if control == port else 1)
    return (f"rtpbin name=bin {chain} ! bin.send_rtp_sink_0 bin.send_rtp_src_0 ! {udp(stream, target)} "
            f"bin.send_rtcp_src_0 ! udpsink host={host} port={control} bind-address={stream['bind'][0]} bind-port={bind} "
            "sync=false async=false")


def gst(text):
    """A gst-launch command of a pipeline in words."""
    return ["gst-launch-1.0", "-q", *text.split()]


def gst_opus(work, stream, target):
    """opusenc (libopus) and rtpopuspay. Keys: channels, opus = {property: value}, levels = true (RFC 6464)."""
    wav = sources.make(work, stream["source"])
    channels = stream.get("channels", 1)
    options = " ".join(f"{key}={value}" for key, value in stream["opus"].items())
    skip = "dtx=true" if stream["opus"].get("dtx") == "true" else ""
    level, caps = "", ""
    if stream.get("levels"):
        level = "level audio-level-meta=true post-messages=false !"
        caps = '! application/x-rtp,extmap-1=(string)<"","urn:ietf:params:rtp-hdrext:ssrc-audio-level","vad=on">'
    chain = (f"filesrc location={wav} ! wavparse ! audioconvert ! audioresample ! "
             f"audio/x-raw,rate=48000,channels={channels} ! {level} opusenc {options} ! "
             f"rtpopuspay {numbers(stream)} {skip} {caps}")
    words = f"libopus {version('libopus')} by opusenc ({options}); sent by GStreamer {version('gst')}"
    return gst(with_rtcp(stream, target, chain)), f"{origin_of_source(stream['source'])}; {words}"


def gst_g711(work, stream, target):
    """mulawenc or alawenc, and their payloader. Keys: law, ptime_ms."""
    wav = sources.make(work, stream["source"])
    ptime = stream.get("ptime_ms", 20) * 1_000_000
    pay = {"mu": "mulawenc ! rtppcmupay", "a": "alawenc ! rtppcmapay"}[stream["law"]]
    chain = (f"filesrc location={wav} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! {pay} "
             f"{numbers(stream)} min-ptime={ptime} max-ptime={ptime}")
    words = f"{stream['law']}-law, {stream.get('ptime_ms', 20)} ms, encoded and sent by GStreamer {version('gst')}"
    return gst(with_rtcp(stream, target, chain)), f"{origin_of_source(stream['source'])}; {words}"


def gst_h264(work, stream, target):
    """h264parse and rtph264pay on a bitstream encoded before. Keys: video (see bitstreams), pay = {property: value}, layer
    (what each packet says of the layer that it belongs to, in header extension LAYER_ID), content (for the manifest alone)."""
    options = " ".join(f"{key}={value}" for key, value in stream.get("pay", {}).items())
    parts = stream["video"].get("parts", [stream["video"]])
    files = [bitstreams.encode(work, part)[0] for part in parts]
    # Parameter sets come from the parser, once per access unit: the payloader's own config-interval=-1 puts them in front of
    # every slice of a key frame, even between the slices of one picture. In `byte-stream` the parser adds delimiters.
    form = stream.get("stream_format", "avc")
    parse = f"matroskademux ! h264parse config-interval=-1 ! video/x-h264,stream-format={form},alignment=au"
    if len(files) == 1:
        chain = f"filesrc location={files[0]} ! {parse}"
    else:
        # Each part from its own file, since only a container has times: the parser gives none to bare bytes, whatever their
        # frame rate, and the payloader would then stamp all of them alike and send them at once.
        chain = "concat name=parts " + " ".join(f"filesrc location={file} ! {parse} ! parts." for file in files) + " parts."
    chain += f" ! rtph264pay name=pay {numbers(stream)} {options}"
    words = f"{origin_of_video(stream['video'])}; sent by GStreamer {version('gst')}"
    if "layer" not in stream:
        return gst(with_rtcp(stream, target, chain)), words
    config = {"pipeline": with_rtcp(stream, target, chain), "element": "pay", "layer": stream["layer"], "id": LAYER_ID}
    return program(work, f"layer-{stream['ssrc']}", "layer.py", config), words


def program(work, name, script, config):
    """A command of a GStreamer program in this folder, with its configuration."""
    path = os.path.join(work, f"{name}.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(config, out)
    return ["/usr/bin/python3", os.path.join(os.path.dirname(__file__), script), path]


def origin_of_video(video):
    """Words for a bitstream."""
    if "parts" in video:
        return f"{len(video['parts'])} bitstreams one after another: " + "; then ".join(origin_of_video(part) for part in video["parts"])
    source, encoder = video["source"], video["encoder"]
    name = {"x264": f"x264 {version('x264')}" if encoder == "x264" else "",
            "libx264": f"libx264 by ffmpeg {version('ffmpeg')}",
            "openh264": f"OpenH264 {version('openh264')} by GStreamer {version('gst')}" if encoder == "openh264" else ""}[encoder]
    return f"{origin_of_source(source)}, {source['size']} at {source['fps']}/s; {name} ({' '.join(video['args'])})"


def ffmpeg_url(stream, target):
    """ffmpeg's RTP address: ports of ours on both sides, packets that fit an Ethernet."""
    host, port = target
    host = f"[{host}]" if ":" in host else host
    return (f"rtp://{host}:{port}?pkt_size={stream.get('mtu', 1200)}&localrtpport={stream['bind'][1]}"
            f"&localrtcpport={stream['bind'][1] + 1}")


def ffmpeg_tail(stream, target):
    """ffmpeg's RTP muxer. It draws the first timestamp itself."""
    flags = stream.get("rtpflags", "")
    ssrc = stream["ssrc"] - (1 << 32) if stream["ssrc"] >= 1 << 31 else stream["ssrc"]
    return ["-f", "rtp", "-payload_type", str(stream["payload_type"]), "-ssrc", str(ssrc), "-seq",
            str(stream["sequence"]), "-cname", "callrig-corpora", *(["-rtpflags", flags] if flags else []),
            ffmpeg_url(stream, target)]


def ffmpeg_audio(work, stream, target):
    """ffmpeg with libopus, pcm_mulaw or pcm_alaw. Keys: args (encoder and its options)."""
    wav = sources.make(work, stream["source"])
    command = ["ffmpeg", "-v", "error", "-re", "-i", wav, *stream["args"], *ffmpeg_tail(stream, target)]
    words = f"encoded ({' '.join(stream['args'])}) and sent by ffmpeg {version('ffmpeg')}"
    return command, f"{origin_of_source(stream['source'])}; {words}"


def ffmpeg_h264(work, stream, target):
    """ffmpeg's payloader on a bitstream encoded before. Keys: video, rtpflags (h264_mode0), mtu."""
    matroska, annexb, fps = bitstreams.encode(work, stream["video"])
    read = ["-i", matroska] if matroska else ["-r", str(fps), "-f", "h264", "-i", annexb]
    # Matroska keeps parameter sets in its header: the filter puts them in front of each key frame.
    command = ["ffmpeg", "-v", "error", "-re", *read, "-c", "copy", "-bsf:v", "h264_mp4toannexb", *ffmpeg_tail(stream, target)]
    return command, f"{origin_of_video(stream['video'])}; sent by ffmpeg {version('ffmpeg')}"


def gst_keys(work, stream, target):
    """rtpdtmfsrc, over G.711 or Opus speech of the same SSRC (rtpdtmfmux) or alone. Keys: presses = [[at, digit, hold]],
    event_type, clock_rate, redundancy, source and law or opus for the speech."""
    rate = stream.get("clock_rate", 8000)
    events = (f"rtpdtmfsrc name=keys pt={stream['event_type']} clock-rate={rate} "
              f"packet-redundancy={stream.get('redundancy', 3)} ssrc={stream['ssrc']} seqnum-offset={stream['sequence']} "
              f"timestamp-offset={stream['timestamp']}")
    caps = f"application/x-rtp,media=(string)audio,payload=(int){stream['event_type']},clock-rate=(int){rate},ssrc=(uint){stream['ssrc']}"
    words = f"rtpdtmfsrc of GStreamer {version('gst')}"
    if "source" in stream:
        inner = dict(stream, bind=stream["bind"])
        speech, said = (gst_g711 if "law" in stream else gst_opus)(work, inner, target)
        chain = " ".join(speech[2:]).split(" ! udpsink")[0]
        # Speech is paced before the multiplexer: a sink that waits there would let it starve the keys.
        chain += " ! clocksync ! mux. "
        text = (f"rtpdtmfmux name=mux ssrc={stream['ssrc']} seqnum-offset={stream['sequence']} "
                f"timestamp-offset={stream['timestamp']} ! {udp(stream, target)} sync=false {chain} {events} ! {caps} ! mux.priority_sink_0")
        words = f"{said}; keys by {words}"
    else:
        text = f"{events} ! {caps} ! {udp(stream, target)} sync=false"
    config = {"pipeline": text, "presses": stream["presses"], "seconds": stream["seconds"], "element": "keys"}
    return program(work, f"press-{stream['bind'][1]}", "press.py", config), words


SENDERS = {"gst-opus": gst_opus, "gst-g711": gst_g711, "gst-h264": gst_h264, "gst-keys": gst_keys,
           "ffmpeg-audio": ffmpeg_audio, "ffmpeg-h264": ffmpeg_h264}
