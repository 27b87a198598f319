"""Whole SIP calls between two real clients (baresip): INVITE with SDP, voice both ways at once, keys, RTCP, BYE.

The clients draw their SSRCs, numbers and timestamps themselves, so these differ each time such a recording is made; the
manifest learns them from the capture. What was said is known, and so are the keys.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time

from kit import senders, sources

MODULES = ["opus.so", "g711.so", "aufile.so", "account.so", "menu.so", "ctrl_tcp.so"]


def version():
    """What baresip calls itself."""
    said = subprocess.run(["baresip", "-h"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode()
    return re.search(r"baresip v([\d.]+)", said).group(1)


def modules_path():
    """Where the distribution keeps baresip's modules."""
    for place in ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"):
        if os.path.isdir(place):
            return place
    raise sources.MissingTool("baresip's modules are not where they are looked for")


def write_settings(folder, name, ports, wav, codec, answers):
    """One client's folder: its address, its voice, its codec."""
    os.makedirs(folder, exist_ok=True)
    lines = [f"sip_listen 127.0.0.1:{ports['sip']}", "net_interface 127.0.0.1", f"audio_source aufile,{wav}",
             f"audio_player aufile,{folder}/heard.wav", "audio_alert aufile,/dev/null", "rtcp_mux no", "rtp_stats no",
             f"rtp_ports {ports['rtp']}-{ports['rtp'] + 8}", "opus_stereo no", "opus_sprop_stereo no", "opus_bitrate 28000",
             f"ctrl_tcp_listen 127.0.0.1:{ports['control']}", f"module_path {modules_path()}",
             *(f"module {module}" for module in MODULES)]
    mode = ";answermode=auto" if answers else ""
    files = {"config": "\n".join(lines), "contacts": "", "accounts": f"<sip:{name}@127.0.0.1>;regint=0{mode};audio_codecs={codec}"}
    for file, text in files.items():
        with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
            out.write(text + "\n")


def command(port, name, params=""):
    """Tells a client to do something (ctrl_tcp: netstrings of JSON)."""
    text = json.dumps({"command": name, "params": params}).encode()
    with socket.create_connection(("127.0.0.1", port), 5) as control:
        control.sendall(b"%d:%s," % (len(text), text))
        time.sleep(0.05)


def await_port(port, process):
    """Waits until a client listens."""
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise sources.MissingTool("baresip did not start")


def run(recipe, work, base):
    """Makes the call while somebody else captures."""
    call = recipe["call"]
    clients = []
    for number, (name, source) in enumerate([("alice", call["caller"]), ("bob", call["callee"])]):
        wav = sources.make(work, dict(source, rate=call["rate"]))
        # The port after that of SIP is taken for SIP over TLS.
        ports = {"sip": base + 10 * number, "control": base + 10 * number + 5, "rtp": base + 50 + 10 * number}
        folder = os.path.join(work, f"{name}-{base}")
        write_settings(folder, name, ports, wav, call["codec"], number == 1)
        process = subprocess.Popen(["baresip", "-f", folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        clients.append((process, ports))
        await_port(ports["control"], process)
    try:
        start = time.monotonic()
        command(clients[0][1]["control"], "dial", f"sip:bob@127.0.0.1:{clients[1][1]['sip']}")
        for at, digit, hold in call.get("presses", []):
            time.sleep(max(0.0, start + at - time.monotonic()))
            command(clients[0][1]["control"], "sndcode", digit)
            time.sleep(hold)
        time.sleep(max(0.0, start + call["seconds"] - time.monotonic()))
        command(clients[0][1]["control"], "hangup")
        time.sleep(0.7)
    finally:
        for process, _ in clients:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def origin(recipe):
    """Words for the manifest."""
    call = recipe["call"]
    said = " and ".join(senders.origin_of_source(call[side]) for side in ("caller", "callee"))
    return f"{said}; a SIP call between two baresip {version()} ({call['codec']}, libopus {senders.version('libopus')})"
