"""H.264 before it is sent: encoded once, kept as Matroska (times) and Annex B (the reference), decoded by ffmpeg for truth."""

import hashlib
import re
import subprocess
import tempfile

from kit import sources


def name_of(video):
    """A file name that tells bitstreams of different settings apart."""
    text = repr(sorted((key, repr(value)) for key, value in video.items()))
    return hashlib.sha1(text.encode()).hexdigest()[:16]


def encode(work, video):
    """(Matroska or None, Annex B, frames/s) of a video entry: source or `parts` (joined), encoder x264 | openh264 | libx264, args."""
    stem = f"bitstreams/{name_of(video)}"
    if "parts" in video:
        return join(work, video, stem)
    fps = video["source"]["fps"]
    if video["encoder"] in ("x264", "libx264"):
        # Raw H.264 has no times, and ffmpeg guesses wrong where frames are reordered: x264 writes Matroska, and Annex B comes
        # out of that (a second run of x264 would not do: its rate control counts the container in).
        matroska = sources.cached(work, stem + ".mkv", lambda path: x264(work, video, path))
        return matroska, sources.cached(work, stem + ".264", lambda path: sources.run(
            ["ffmpeg", "-v", "error", "-y", "-i", matroska, "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264",
             path])), fps
    annexb = sources.cached(work, stem + ".264", lambda path: encode_annexb(work, video, path))
    return sources.cached(work, stem + ".mkv", lambda path: sources.run(
        ["ffmpeg", "-v", "error", "-y", "-r", str(fps), "-f", "h264", "-i", annexb, "-c", "copy", path])), annexb, fps


def x264(work, video, path):
    """x264, its own program or within ffmpeg, to Matroska."""
    picture = sources.make(work, video["source"])
    if video["encoder"] == "libx264":
        sources.run(["ffmpeg", "-v", "error", "-y", "-i", picture, "-c:v", "libx264", "-threads", "1", *video["args"], path])
    else:
        sources.run(["x264", "--quiet", "--threads", "1", "--no-progress", *video["args"], "-o", path, picture])


def encode_annexb(work, video, path):
    """One encoder, one Annex B file."""
    picture = sources.make(work, video["source"])
    if video["encoder"] == "openh264":
        # The buffer mode is a must: filesink 1.22 corrupts what it writes in large vectors.
        sources.run(["gst-launch-1.0", "-q", "filesrc", f"location={picture}", "!", "y4mdec", "!", "videoconvert", "!",
                     "video/x-raw,format=I420", "!", "openh264enc", "multi-thread=1", *video["args"], "!",
                     "video/x-h264,stream-format=byte-stream,alignment=au", "!", "filesink", "buffer-mode=unbuffered",
                     f"location={path}"])
    else:
        raise ValueError(f"no encoder {video['encoder']!r}")


def join(work, video, stem):
    """Several bitstreams one after another: parameter sets, and perhaps the resolution, change in mid-stream."""
    parts = [encode(work, part)[1] for part in video["parts"]]
    fps = video["parts"][0]["source"]["fps"]

    def glue(path):
        with open(path, "wb") as out:
            for part in parts:
                out.write(open(part, "rb").read())
    annexb = sources.cached(work, stem + ".264", glue)
    # No container: a header with one set of parameters would be a lie. The sender takes the parts' own, for their times.
    return None, annexb, fps


def digest(annexb):
    """(SHA-1 of all I420 frames in output order, how many, (width, height) of the first), by ffmpeg's decoder."""
    command = ["ffmpeg", "-v", "error", "-f", "h264", "-i", annexb, "-autoscale", "0", "-fps_mode", "passthrough", "-pix_fmt",
               "yuv420p", "-f", "rawvideo", "-"]
    sha = hashlib.sha1()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        while block := process.stdout.read(1 << 20):
            sha.update(block)
        status = process.wait()
        said.seek(0)
        words = said.read().decode(errors="replace")
    if status or "rror" in words:
        raise sources.MissingTool(f"ffmpeg does not decode {annexb} cleanly: {words[-300:]}")
    shown = sources.run(["ffprobe", "-v", "error", "-f", "h264", "-count_frames", "-show_entries",
                         "stream=width,height,nb_read_frames", "-of", "default=nw=1", annexb]).decode()
    found = dict(re.findall(r"(\w+)=(\d+)", shown))
    frames = int(found["nb_read_frames"])
    first = sources.run(["ffprobe", "-v", "error", "-f", "h264", "-read_intervals", "%+#1", "-show_entries",
                         "frame=width,height", "-of", "csv=p=0", annexb]).decode().split()[0].split(",")
    return sha.hexdigest(), frames, (int(first[0]), int(first[1]))


def access_units(annexb):
    """Primary coded pictures: VCL NAL units whose first_mb_in_slice is 0 (one leading 1 bit), by our own count."""
    data = open(annexb, "rb").read()
    starts = [match.end() for match in re.finditer(b"\x00\x00\x01", data)]
    return sum(1 for at in starts if at + 1 < len(data) and data[at] & 0x1F in (1, 5) and data[at + 1] & 0x80)
