"""An echo on GStreamer's webrtcbin: what comes in is taken out of its packets and cut into new
ones, without being decoded."""

import asyncio
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from bots import blob, read  # noqa: E402

Gst.init(None)
threading.Thread(target=GLib.MainLoop().run, daemon=True).start()

LINES = {
    "audio": ("application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111,"
              "encoding-params=(string)2",
              "rtpopusdepay", "rtpopuspay pt=111"),
    "video": ("application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=102,"
              "packetization-mode=(string)1,profile-level-id=(string)42e01f,"
              "rtcp-fb-nack=true,rtcp-fb-nack-pli=true",
              "rtph264depay request-keyframe=true wait-for-keyframe=true ! h264parse ! "
              "video/x-h264,stream-format=byte-stream,alignment=au",
              "rtph264pay pt=102 config-interval=-1 mtu=1200"),
}


class Connection:
    """One call."""

    def __init__(self):
        self.pipeline = Gst.Pipeline.new(None)
        self.peer = Gst.ElementFactory.make("webrtcbin", None)
        self.peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        # By default sender reports of GStreamer 1.22 are as far off as the last packet is old: up to half a second behind a
        # pause in the pictures. `validate --bot` found it (bot/own-media/lip-sync).
        self.peer.get_by_name("rtpbin").set_property("rtcp-sync-send-time", False)
        self.pipeline.add(self.peer)
        self.echoes = {}
        for kind, (caps, take, cut) in LINES.items():
            sent = caps.split(",packetization")[0].split(",encoding-params")[0]
            path = f'{take} ! queue ! {cut} ! capsfilter caps="{sent}"'
            echo = self.echoes[kind] = Gst.parse_bin_from_description(path, True)
            self.pipeline.add(echo)
            # What the pad is for has to be known before the offer.
            template = self.peer.get_pad_template("sink_%u")
            sink = self.peer.request_pad(template, None, Gst.Caps.from_string(caps))
            line = sink.get_property("transceiver")
            line.set_property("codec-preferences", Gst.Caps.from_string(caps))
            line.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDRECV)
            echo.get_static_pad("src").link(sink)
        self.peer.connect("pad-added", self.flows)
        self.pipeline.set_state(Gst.State.PLAYING)

    def flows(self, _peer, pad):
        """Something comes in: it goes out again."""
        if pad.get_direction() == Gst.PadDirection.SRC:
            kind = pad.get_current_caps().get_structure(0).get_string("media")
            pad.link(self.echoes[kind].get_static_pad("sink"))

    def offer(self):
        """With every candidate; waits for them."""
        promise = Gst.Promise.new()
        self.peer.emit("create-offer", None, promise)
        promise.wait()
        # The reply owns the offer: it has to stay.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        done = Gst.Promise.new()
        self.peer.emit("set-local-description", offer, done)
        done.wait()
        for _ in range(100):
            state = self.peer.get_property("ice-gathering-state")
            if state == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
                break
            threading.Event().wait(0.05)
        local = self.peer.get_property("local-description")
        return local.sdp.as_text()

    def answered(self, text):
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        done = Gst.Promise.new()
        self.peer.emit("set-remote-description", answer, done)
        done.wait()

    def close(self):
        self.pipeline.set_state(Gst.State.NULL)


class Gstreamer:
    """Answers calls in that way."""

    def __init__(self):
        self.connections = {}
        self.settled = set()

    async def __call__(self, bot, call, data):
        loop = asyncio.get_running_loop()
        if data["state"] == "incoming":
            connection = self.connections[call] = Connection()
            offer = await loop.run_in_executor(None, connection.offer)
            await bot.platform.ask("POST", f"/v1.0/communications/calls/{call}/answer", {
                "callbackUri": f"{bot.base}/api/calls",
                "acceptedModalities": ["audio", "video"],
                "mediaConfig": {
                    "@odata.type": "#microsoft.graph.appHostedMediaConfig",
                    "blob": blob("offer", offer)}})
        elif data["state"] == "terminated":
            connection = self.connections.pop(call, None)
            if connection:
                await loop.run_in_executor(None, connection.close)
            return
        found = await bot.platform.ask("GET", f"/v1.0/communications/calls/{call}")
        answer = (found.get("mediaConfig") or {}).get("blob")
        text = read(answer) if answer else {}
        if text.get("type") == "answer" and call not in self.settled:
            self.settled.add(call)
            await loop.run_in_executor(None, self.connections[call].answered, text["sdp"])
