"""What is said, played and shown: the sources of all recordings, made from nothing but programs and our own words.

Each function takes the working folder and the entry of the recipe table and returns a file, which is made once and kept.
espeak-ng (GPL-3.0) puts no condition on what it says, nor do sox and ffmpeg's test pictures on theirs.
"""

import math
import os
import struct
import subprocess
import wave

TEXTS = {
    "en": "Good morning. You have reached the test line of a calling bot. Please listen to the whole sentence, then press one "
          "for the weather, two for the time of day, or stay on the line. Peter bought six thick thistle sticks, and Sue chose "
          "five fresh fish.",
    "en-short": "Hello. This is the second caller. I am speaking while the other one speaks, so that both are heard at once.",
    "en-pauses": "One. <break time='1500ms'/> Two, and then a long silence. <break time='2500ms'/> Three. <break time='1500ms'/> Thank you, and good bye.",
    "de": "Guten Tag. Sie sprechen mit einem Automaten, der gleich achtzehn schwierige Wörter zwitschert. Bitte drücken Sie "
          "eine Taste oder warten Sie einen Augenblick.",
    "fr": "Bonjour. Vous écoutez une voix de synthèse qui lit une phrase assez longue, afin que chaque son de la langue "
          "française se présente au moins une fois.",
    "es": "Buenos días. Esta llamada sirve para probar el sonido. Pulse cualquier tecla cuando quiera, o siga escuchando esta "
          "voz tan amable.",
    "ru": "Здравствуйте. Это проверочный звонок. Пожалуйста, слушайте внимательно и нажмите любую кнопку после сигнала.",
    "cmn": "你好。这是一个测试电话。请听完这句话，然后按任意键继续。谢谢你的耐心。",
    "hi": "नमस्ते। यह एक परीक्षण कॉल है। कृपया ध्यान से सुनें और फिर कोई भी बटन दबाएँ।",
}

DTMF_ROWS = {row: 697 for row in "123A"} | {row: 770 for row in "456B"} | {row: 852 for row in "789C"} | \
    {row: 941 for row in "*0#D"}
DTMF_COLUMNS = {c: 1209 for c in "147*"} | {c: 1336 for c in "2580"} | {c: 1477 for c in "369#"} | {c: 1633 for c in "ABCD"}


class MissingTool(Exception):
    """A program is not there or ended badly; the message says which, how, and its last words."""


def run(command, **options):
    """Runs a program to its end, quietly; raises with its last words if it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except FileNotFoundError as absent:
        raise MissingTool(f"{command[0]} is not on this machine") from absent
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()[-600:]
        raise MissingTool(f"{command[0]} ended with {done.returncode}: {words}\n  {' '.join(map(str, command))}")
    return done.stdout


def cached(folder, name, make):
    """The file `name` below `folder`, made by make(path) if it is not there; never left half-made."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        stem, extension = os.path.splitext(path)
        partial = f"{stem}.part{os.getpid()}{extension}"
        make(partial)
        os.replace(partial, path)
    return path


def speech(work, source):
    """espeak-ng: text, voice, rate (Hz), seconds (cut or filled with silence), speed (words a minute), gain."""
    rate, seconds = source.get("rate", 16000), source["seconds"]
    name = f"speech/{source['text']}-{source['voice']}-{rate}-{seconds}-{source.get('speed', 160)}.wav"

    def make(path):
        raw = path + ".raw.wav"
        # -m: pauses are SSML breaks.
        run(["espeak-ng", "-m", "-v", source["voice"], "-s", str(source.get("speed", 160)), "-w", raw,
             TEXTS[source["text"]]])
        # Seeded dither (-R) keeps the bytes the same from run to run.
        run(["sox", "-R", raw, "-r", str(rate), "-c", "1", "-b", "16", path, "gain", "-n", "-6",
             "pad", "0.3", str(seconds), "trim", "0", str(seconds)])
        os.unlink(raw)
    return cached(work, name, make)


def silence(work, source):
    """Digital silence."""
    rate, seconds = source.get("rate", 16000), source["seconds"]
    return cached(work, f"tones/silence-{rate}-{seconds}.wav", lambda path: run(
        ["sox", "-R", "-n", "-r", str(rate), "-c", "1", "-b", "16", path, "trim", "0", str(seconds)]))


def music(work, source):
    """Plucked chords, a bass and a shaker by sox: wide in pitch and in the stereo picture, full of attacks."""
    rate, seconds, channels = source.get("rate", 48000), source["seconds"], source.get("channels", 1)

    def make(path):
        parts = []
        for number, (notes, pan) in enumerate([(("C3", "G3", "E4", "C5"), 0.9), (("A2", "E3", "C4", "A4"), 0.2),
                                               (("F2", "C3", "A3", "F5"), 0.8), (("G2", "D3", "B3", "G5"), 0.1)]):
            part = f"{path}.{number}.wav"
            pluck = [word for note in notes for word in ("pluck", note)]
            delays = [str(0.11 * n) for n in range(len(notes))]
            run(["sox", "-R", "-n", "-r", str(rate), "-b", "16", part, "synth", "1.5", *pluck, "delay", *delays,
                 "remix", f"1v{pan},2v{1 - pan},3v{pan},4v{1 - pan}", f"1v{1 - pan},2v{pan},3v{1 - pan},4v{pan}",
                 "fade", "0", "1.5", "0.1", "norm", "-9"])
            parts.append(part)
        shaker = path + ".noise.wav"
        run(["sox", "-R", "-n", "-r", str(rate), "-b", "16", "-c", "2", shaker, "synth", "0.05", "whitenoise", "fade", "l", "0.002",
             "0.05", "0.04", "pad", "0", "0.325", "repeat", "3", "gain", "-22"])
        bars = path + ".bars.wav"
        run(["sox", "-R", *parts, bars])
        mixed = path + ".mixed.wav"
        run(["sox", "-R", "-m", "-v", "1", bars, "-v", "0.6", shaker, mixed, "repeat", str(math.ceil(seconds / 6)),
             "trim", "0", str(seconds)])
        run(["sox", "-R", mixed, "-c", str(channels), path, "norm", "-6"])
        for used in [*parts, shaker, bars, mixed]:
            os.unlink(used)
    return cached(work, f"tones/music-{rate}-{channels}-{seconds}.wav", make)


def sweep(work, source):
    """A sine from 50 Hz to 20 kHz: energy in every band that a codec may keep."""
    rate, seconds = source.get("rate", 48000), source["seconds"]
    return cached(work, f"tones/sweep-{rate}-{seconds}.wav", lambda path: run(
        ["sox", "-R", "-n", "-r", str(rate), "-c", "1", "-b", "16", path, "synth", str(seconds), "sine", "50/20000",
         "gain", "-9"]))


def digits(work, source):
    """In-band DTMF (ITU-T Q.23 pairs) written sample by sample: digits, on_ms, off_ms, twist_db, noise_db."""
    rate = source.get("rate", 8000)
    on, off = source.get("on_ms", 100), source.get("off_ms", 100)
    twist, level = source.get("twist_db", 0.0), 10 ** (source.get("level_db", -10.0) / 20) * 32767 / 2
    name = f"tones/dtmf-{source['digits'].replace('*', 's').replace('#', 'h')}-{on}-{off}-{twist}-{rate}.wav"

    def make(path):
        samples = [0] * (rate // 2)
        for digit in source["digits"]:
            low, high = DTMF_ROWS[digit], DTMF_COLUMNS[digit]
            for n in range(rate * on // 1000):
                samples.append(round(level * (math.sin(2 * math.pi * low * n / rate)
                                              + 10 ** (twist / 20) * math.sin(2 * math.pi * high * n / rate))))
            samples += [0] * (rate * off // 1000)
        samples += [0] * (rate // 2)
        with wave.open(path, "wb") as out:
            out.setparams((1, 2, rate, 0, "NONE", ""))
            out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return cached(work, name, make)


# Pictures: ffmpeg's generators. `moving` has smooth and sudden motion, `noisy` is hard to code, `screen` is text.
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"


def graph_of(source):
    """The lavfi graph of a picture source."""
    size, fps, seconds = source["size"], source["fps"], source["seconds"]
    tail = f"trim=duration={seconds},format=yuv420p"
    look = source.get("look", "moving")
    if look == "moving":
        return f"testsrc2=size={size}:rate={fps},{tail}"
    if look == "noisy":
        return f"mandelbrot=size={size}:rate={fps}:maxiter=200,noise=alls=12:allf=t:all_seed=7,{tail}"
    if look == "zoom":
        return f"mandelbrot=size={size}:rate={fps}:maxiter=400,{tail}"
    height = int(size.split("x")[1])
    line = "drawtext=fontfile={f}:fontcolor=black:fontsize={s}:x={x}:y={y}:text='{t}'"
    small = max(10, height // 40)
    lines = [line.format(f=FONT, s=small, x=20, y=f"{20 + n * small * 2}+{small * 2}*mod(-floor(t*{1 + n % 3})\\,4)",
                         t=f"{n:02d}  fn handle_input(&mut self, now, input) // line {n}") for n in range(16)]
    lines.append(line.format(f=FONT, s=small * 3, x="w-tw-20", y="h-th-20", t="frame %{n}"))
    return f"color=c=white:size={size}:rate={fps}," + ",".join(lines) + f",{tail}"


def picture(work, source):
    """Raw pictures as Y4M, so that every encoder is given the very same ones."""
    name = "pictures/" + "-".join(str(source.get(key, "")) for key in ("look", "size", "fps", "seconds")) + ".y4m"
    return cached(work, name, lambda path: run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", graph_of(source), "-f", "yuv4mpegpipe", path]))


KINDS = {"speech": speech, "silence": silence, "music": music, "sweep": sweep, "digits": digits,
         "picture": picture}


def make(work, source):
    """The file of a source of the table, made if need be."""
    return KINDS[source["kind"]](work, source)
