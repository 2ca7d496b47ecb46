"""What a result depends on besides the code. Standard library only."""

import datetime
import os
import pathlib
import platform
import subprocess
import sys

GPU_FIELDS = ["name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm",
              "clocks.max.mem", "power.limit", "power.default_limit", "power.draw",
              "temperature.gpu", "memory.total"]


def _output(command):
    """Of a command, None where it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def commit():
    here = pathlib.Path(__file__).resolve().parent
    return _output(["git", "-C", str(here), "describe", "--always", "--dirty",
                    "--abbrev=12"]) or "unknown"


def gpu():
    """Of GPU 0 by nvidia-smi, {} without one."""
    text = _output(["nvidia-smi", "--id=0", "--query-gpu=" + ",".join(GPU_FIELDS),
                    "--format=csv,noheader"])
    if not text:
        return {}
    return dict(zip(GPU_FIELDS, (value.strip() for value in text.split(","))))


def cpu():
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def describe(device):
    """Everything but what is measured. No host names, no paths."""
    return {
        "date": now(),
        "commit": os.environ.get("FLASH_KMEANS_COMMIT") or commit(),
        "device": gpu().get("name", "unknown") if device == "cuda" else cpu(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "gpu": gpu() if device == "cuda" else {},
    }
