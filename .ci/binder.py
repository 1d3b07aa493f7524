"""Do what Binder does, without Docker, and say what it takes: binder.py FOLDER.

Makes an environment of this Python in FOLDER, runs ``binder/postBuild`` in it, starts JupyterLab on
one core and runs the first lesson there. Prints the seconds until the server answers and until the
lesson is done, and the highest memory of all processes together; more than 1 GB is an error.
It reads memory itself: where it starts, nothing is installed that the package would need for that.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_MB = 1000
PORT = 8899
LESSON = "notebooks/course/L01_the_scanner.ipynb"


def build(folder: Path) -> dict[str, str]:
    """Make the environment; return the variables of its programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(["bash", "binder/postBuild"], cwd=ROOT, env=environment, check=True)
    return environment


def list_tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def pss_mb(pid: int) -> float:
    """Return the memory of a process, shared pages in parts; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1000


def watch(pid: int, end: threading.Event, peaks: list[float]) -> None:
    """Write down the memory of this process's children until the end."""
    while not end.wait(0.2):
        peaks.append(sum(map(pss_mb, list_tree(pid)[1:])))


def start_server(environment: dict[str, str]) -> tuple[subprocess.Popen, float]:
    """Start JupyterLab; return it, and the seconds until it answers."""
    words = ["jupyter", "lab", "--no-browser", "--allow-root", f"--port={PORT}"]
    words += ["--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=dry-run"]
    begin = time.monotonic()
    server = subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    while time.monotonic() - begin < 300 and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/status?token=dry-run", timeout=5)
            return server, time.monotonic() - begin
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    server.kill()
    raise SystemExit("JupyterLab does not answer")


def run_lesson(environment: dict[str, str], folder: Path) -> float:
    """Run the first lesson beside the server; return the seconds that it took."""
    words = ["jupyter", "nbconvert", "--to", "notebook", "--execute", LESSON]
    words += ["--output-dir", str(folder)]
    begin = time.monotonic()
    subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.monotonic() - begin


def main(folder: Path) -> None:
    """Print what it took."""
    begin = time.monotonic()
    environment = build(folder)
    built_s = time.monotonic() - begin
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
    end, peaks = threading.Event(), [0.0]
    watcher = threading.Thread(target=watch, args=(os.getpid(), end, peaks))
    watcher.start()
    try:
        server, server_s = start_server(environment)
        try:
            lesson_s = run_lesson(environment, folder)
        finally:
            server.terminate()
            server.wait()
    finally:
        end.set()
        watcher.join()
    found = {"build_s": built_s, "server_s": server_s, "lesson_s": lesson_s, "peak_mb": max(peaks)}
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))
    if max(peaks) > LIMIT_MB:
        raise SystemExit(f"{max(peaks):.0f} MB are more than {LIMIT_MB} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
