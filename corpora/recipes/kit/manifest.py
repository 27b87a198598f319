"""manifest.toml, read and written by program: sorted by id, one way to write everything, so that a change shows as one."""

import os
import tomllib

HEAD = """# Written by recipes/make.py: do not edit by hand. What the fields mean is said in src/manifest.rs and src/truth.rs.
schema_version = 1
"""

TRUTH_ORDER = ["packets", "lost", "reordered", "duplicates", "restarts", "rtcp", "other", "duration_ms", "digits", "frames",
               "whole_frames", "decoded_frames", "decoded_digest", "resolution", "reference", "clean", "words", "drift_ppm", "warnings",
               "refused", "tolerances"]


def read(path):
    """{id: entry} of a manifest; empty if there is none."""
    if not os.path.exists(path):
        return {}
    with open(path, "rb") as file:
        return {entry["id"]: entry for entry in tomllib.load(file).get("recording", [])}


def value(thing):
    """One TOML value on one line."""
    if isinstance(thing, bool):
        return "true" if thing else "false"
    if isinstance(thing, (int, float)):
        return repr(thing)
    if isinstance(thing, (list, tuple)):
        return "[" + ", ".join(value(part) for part in thing) + "]"
    if isinstance(thing, dict):
        return "{ " + ", ".join(f"{key} = {value(part)}" for key, part in thing.items()) + " }"
    text = str(thing).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def ordered(truth):
    """A truth with its keys in the order of the type; an unknown key is a mistake."""
    unknown = set(truth) - set(TRUTH_ORDER)
    if unknown:
        raise ValueError(f"no such fact: {sorted(unknown)}")
    return {key: truth[key] for key in TRUTH_ORDER if key in truth}


def write(path, entries):
    """Writes the manifest whole or not at all."""
    lines = [HEAD]
    for ident in sorted(entries):
        entry = entries[ident]
        lines.append("[[recording]]")
        for key in ("id", "file", "sha256", "licence", "origin", "recipe", "tags"):
            lines.append(f"{key} = {value(entry[key])}")
        lines.append("")
        for flow in entry.get("flows", []):
            lines.append("[[recording.flows]]")
            lines.append(f"ssrc = 0x{flow['ssrc']:08x}")
            for key in ("payload_type", "codec", "clock_rate"):
                lines.append(f"{key} = {value(flow[key])}")
            lines += [f"{key} = {value(flow[key])}" for key in ("layer", "content") if key in flow]
            if flow.get("truth"):
                lines.append(f"truth = {value(ordered(flow['truth']))}")
            lines.append("")
        if entry.get("truth"):
            lines.append("[recording.truth]")
            lines += [f"{key} = {value(thing)}" for key, thing in ordered(entry["truth"]).items()]
            lines.append("")
    with open(path + ".part", "w", encoding="utf-8") as out:
        out.write("\n".join(lines))
    os.replace(path + ".part", path)
