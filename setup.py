"""The compiled kernels, and the notebooks in the wheel; all else is in pyproject.toml.

``FACET_NB_PURE=1`` leaves the kernels out: such a wheel runs wherever Python does.

Where there is no C compiler, or one that lacks the vectors of GCC and Clang, the package is
installed without them, and NumPy and SciPy do the same.
"""

import os
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

NATIVE = "facet_nb/kernels/compiled/native"

#: Products and sums are fused only where the code says so: the same bits with every compiler.
OPTIONS = ["-std=gnu11", "-O3", "-g0", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi"]


class BuildWithNotebooks(build_py):
    """Puts the notebooks into the package, where ``facet-nb lab`` finds them without a clone."""

    def run(self):  # noqa: D102 - of the base class
        super().run()
        if not self.editable_mode:
            for path in [
                *Path("notebooks").rglob("*.ipynb"),
                *Path("notebooks/course").glob("*.md"),
            ]:
                if path.parent.name != ".ipynb_checkpoints":
                    target = Path(self.build_lib, "facet_nb", path)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(path), str(target))


kernels = Extension(
    "facet_nb.kernels.compiled._native",
    sorted(glob(f"{NATIVE}/*.c")),
    depends=sorted(glob(f"{NATIVE}/*.h")),
    extra_compile_args=OPTIONS,
    optional=True,
    py_limited_api=True,
)
pure = os.environ.get("FACET_NB_PURE") == "1"

setup(
    cmdclass={"build_py": BuildWithNotebooks},
    ext_modules=[] if pure else [kernels],
    # One wheel for all versions of Python.
    options={} if pure else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
