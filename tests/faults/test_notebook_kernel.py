"""A notebook's kernel: interrupted, restarted by force, and with classes of its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.faults import programs

manager = pytest.importorskip("jupyter_client.manager", reason="needs jupyter_client")
pytest.importorskip("ipykernel", reason="needs ipykernel")


class Kernel:
    """A kernel of this Python, as a notebook has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = manager.KernelManager(kernel_name="python3")
        self.manager.kernel_spec.argv[0] = sys.executable
        paths = {name: str(folder / "jupyter") for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
        variables = {"PYTHONPATH": str(programs.ROOT), "FACET_NB_TMPDIR": str(folder)}
        self.manager.start_kernel(env={**os.environ, **paths, **variables})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Run a cell; return what it printed."""
        printed: list[str] = []

        def hook(message):
            content = message["content"]
            printed.append(content.get("text", "") or "\n".join(content.get("traceback", [])))

        reply = self.client.execute_interactive(code, timeout=60, output_hook=hook)
        assert reply["content"]["status"] == "ok", "".join(printed)
        return "".join(printed).strip()

    def begin(self, code: str) -> None:
        """Run a cell, and wait until one of its channels is being computed."""
        for path in self.folder.glob("began-*"):
            path.unlink()
        self.request = self.client.execute(code, stop_on_error=False)
        programs.wait_until(lambda: any(self.folder.glob("began-*")))

    def wait(self) -> dict:
        """Return the reply to :meth:`begin`."""
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"]["msg_id"] == self.request:
                return reply["content"]

    def process(self) -> psutil.Process:
        """Return the kernel's process."""
        return psutil.Process(int(self.run("import os; print(os.getpid())")))

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()


CELL = """
import os, time
from pathlib import Path
from facet_nb import Pipeline, Processor
from tests.core import toys

ctx = toys.wide_context(6)
FACTOR = 2.0
options = dict(mode="parallel", n_jobs=2, show_progress=False, raise_on_error=True)

class Mine(Processor):
    requires_raw = channel_wise = True

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def process(self, context):
        name = context.get_channel_names()[0]
        if name != "0":
            Path(os.environ["FACET_NB_TMPDIR"], f"began-{name}-{os.getpid()}").touch()
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                pass
        raw = context.get_raw().copy()
        raw._data = raw._data * FACTOR
        return context.with_raw(raw)

def factor(**extra):
    result = Pipeline([Mine()]).run(ctx, **options, **extra)
    return round(float(result.get_raw().get_data()[0, 0] / ctx.get_data()[0, 0]), 6)
"""


def busy(processes: list[psutil.Process]) -> list[int]:
    """Return the processes that use the processor."""
    for process in processes:
        process.cpu_percent()
    time.sleep(0.3)
    return [p.pid for p in processes if p.is_running() and p.cpu_percent() > 30]


def test_a_class_of_the_notebook_and_a_global_that_changes(kernel):
    """Workers see the class, and its globals as they are now; so does a checkpoint."""
    kernel.run(CELL)
    kept = f"checkpoint={str(kernel.folder / 'kept')!r}"
    assert kernel.run(f"print(factor(), factor({kept}), factor({kept}))") == "2.0 2.0 2.0"
    kernel.run("FACTOR = 5.0")
    assert kernel.run(
        f"print(factor(), factor({kept}), Mine.process.__globals__ is globals())"
    ) == ("5.0 5.0 True")


@pytest.mark.parametrize("backend", ["multiprocessing", "threading"])
def test_interrupt(kernel, backend):
    """The button with the square: KeyboardInterrupt, nothing computes, the next run works."""
    kernel.run(CELL)
    kernel.run(f"options['backend'] = {backend!r}")
    seconds = 60 if backend == "multiprocessing" else 0.4  # a thread ends what it is at
    process = kernel.process()
    kernel.begin(f"Pipeline([Mine({seconds})]).run(ctx, **options)")
    time.sleep(0.2)
    begin = time.monotonic()
    kernel.manager.interrupt_kernel()
    content = kernel.wait()
    spent = time.monotonic() - begin
    assert content["status"] == "error" and content["ename"] == "KeyboardInterrupt"
    assert spent < 5.0, "with two idle cores it is below 1 s"
    assert not busy([process, *process.children(recursive=True)])
    assert not list(kernel.folder.glob("facet_nb-*"))
    assert not list(Path("/dev/shm").glob(f"joblib*_{process.pid}_*"))
    assert kernel.run("print(factor())") == "2.0"


@pytest.mark.slow
def test_forced_restart(kernel):
    """Workers end with the kernel, and the next run removes what it left."""
    kernel.run(CELL)
    old = kernel.process()
    kernel.begin("Pipeline([Mine(60)]).run(ctx, **options)")
    workers = old.children(recursive=True)
    assert len(workers) >= 2
    kernel.manager.restart_kernel(now=True)
    programs.wait_gone(workers, 5)
    assert list(kernel.folder.glob(f"facet_nb-*-{old.pid}-*"))
    kernel.client.wait_for_ready(timeout=60)
    kernel.run(CELL)
    assert kernel.run("print(factor())") == "2.0"
    assert not list(kernel.folder.glob("facet_nb-*"))
    assert not list(Path("/dev/shm").glob(f"*{old.pid}-*"))
