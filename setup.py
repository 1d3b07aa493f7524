"""The compiled kernels; all else is in pyproject.toml.

Where there is no C compiler, or one that lacks the vectors of GCC and Clang, the package is
installed without them, and NumPy and SciPy do the same.
"""

from glob import glob

from setuptools import Extension, setup

NATIVE = "facet_nb/kernels/compiled/native"

#: Products and sums are fused only where the code says so: the same bits with every compiler.
OPTIONS = ["-std=gnu11", "-O3", "-g0", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi"]

setup(
    ext_modules=[
        Extension(
            "facet_nb.kernels.compiled._native",
            sorted(glob(f"{NATIVE}/*.c")),
            depends=sorted(glob(f"{NATIVE}/*.h")),
            extra_compile_args=OPTIONS,
            optional=True,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for all versions of Python
)
