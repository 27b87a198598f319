"""Presses keys: a GStreamer program of its own, since gst-launch cannot send the events that rtpdtmfsrc waits for.

Called as `press.py CONFIG` with JSON: {"pipeline": text of a pipeline, "presses": [[at_s, digit, hold_s], ...], "seconds": s,
"element": name of the element that takes the events}. Needs the Python bindings of GStreamer (python3-gi, gir1.2-gstreamer-1.0).
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

NUMBERS = {digit: number for number, digit in enumerate("0123456789*#ABCD!")}


def press(element, digit, start):
    """Sends the start or the stop of one digit."""
    text = f"dtmf-event,type=(int)1,method=(int)1,start=(boolean){'true' if start else 'false'}"
    if start:
        text += f",number=(int){NUMBERS[digit]},volume=(int)10"
    structure = Gst.Structure.new_from_string(text + ";")
    # Upstream events enter by the source pad; send_event on the element itself is refused.
    if not element.get_static_pad("src").send_event(Gst.Event.new_custom(Gst.EventType.CUSTOM_UPSTREAM, structure)):
        sys.exit(f"{digit} was refused")
    return False


def main():
    config = json.load(open(sys.argv[1], encoding="utf-8"))
    Gst.init(None)
    pipeline = Gst.parse_launch(config["pipeline"])
    element = pipeline.get_by_name(config["element"])
    loop = GLib.MainLoop()
    faults = []
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", lambda _, message: (faults.append(message.parse_error()[0].message), loop.quit()))
    pipeline.set_state(Gst.State.PLAYING)
    for at, digit, hold in config["presses"]:
        GLib.timeout_add(round(at * 1000), press, element, digit, True)
        GLib.timeout_add(round((at + hold) * 1000), press, element, digit, False)
    GLib.timeout_add(round(config["seconds"] * 1000), loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    if faults:
        sys.exit(faults[0])


if __name__ == "__main__":
    main()
