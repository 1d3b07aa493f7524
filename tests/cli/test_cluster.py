"""A Dask cluster that was started by the commands of the documentation."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time

import pytest

from facet_nb import HighPassFilter
from facet_nb.core import Pipeline
from tests.study import studies

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

pytestmark = pytest.mark.slow


def read_commands(project_root):
    """Return the lines of the page that start a scheduler and workers, and the one of the study."""
    page = (project_root / "docs/studies.md").read_text()
    lines = re.findall(r"^(?:dask |facet-nb batch day1 .*--dask).*$", page, re.MULTILINE)
    return [shlex.split(line.removesuffix("&")) for line in lines]


def test_a_cluster_of_two_commands(facet_nb, tmp_path, project_root):
    """Word for word but for the port, which is free; nothing listens outside the loopback."""
    scheduler, worker, study = read_commands(project_root)
    for i in range(2):
        studies.write(tmp_path / "day1" / f"r{i}.fif", i)
    Pipeline([HighPassFilter(1.0)]).to_yaml(tmp_path / "chain.yaml")
    place = tmp_path / "scheduler.json"
    scheduler[scheduler.index("8786")] = "0"
    environment = os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}

    def start(words):
        return subprocess.Popen([sys.executable, "-m", *words], env=environment)

    running = [start([*scheduler, "--scheduler-file", str(place)])]
    try:
        deadline = time.monotonic() + 60
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        address = json.loads(place.read_text())["address"]
        running.append(start([word.replace("tcp://127.0.0.1:8786", address) for word in worker]))
        words = [word.replace("tcp://127.0.0.1:8786", address) for word in study[1:]]
        done = facet_nb(*words, "--chain", "chain.yaml")
        assert done.exit_code == 0 and "2 of 2 succeeded" in done.output, done.output
        assert studies.list_listening(running) == {"127.0.0.1"}
    finally:
        with contextlib.suppress(ValueError):
            distributed.get_client().close(timeout=1)
        for process in reversed(running):  # workers before their scheduler
            process.terminate()
            process.wait(20)
