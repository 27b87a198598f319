"""Sends one layer of a picture: a GStreamer program of its own, since gst-launch cannot give a payloader the name that each
packet is to carry (RFC 8852).

Called as `layer.py CONFIG` with JSON: {"pipeline": text of a pipeline, "element": name of its payloader, "layer": what is said,
"id": of the header extension}. Needs the Python bindings of GStreamer (python3-gi, gir1.2-gst-plugins-base-1.0).
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtp", "1.0")
from gi.repository import GLib, Gst, GstRtp  # noqa: E402


def main():
    config = json.load(open(sys.argv[1], encoding="utf-8"))
    Gst.init(None)
    # Whoever sets the number of an extension needs its class, which this makes known.
    assert GstRtp.RTPHeaderExtension
    pipeline = Gst.parse_launch(config["pipeline"])
    extension = Gst.ElementFactory.make("rtphdrextstreamid")
    extension.set_property("rid", config["layer"])
    extension.set_id(config["id"])
    pipeline.get_by_name(config["element"]).emit("add-extension", extension)
    loop = GLib.MainLoop()
    faults = []
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::eos", lambda *_: loop.quit())
    bus.connect("message::error", lambda _, message: (faults.append(message.parse_error()[0].message), loop.quit()))
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    if faults:
        sys.exit(faults[0])


if __name__ == "__main__":
    main()
