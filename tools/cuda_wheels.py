#!/usr/bin/env python3
"""Fetches NVIDIA's compilers and headers as pip installs them, for tests without a GPU.

    python3 tools/cuda_wheels.py OUT [VERSION...]
    EFFNET_CUDA_TOOLS=OUT make test-full

For each version of CUDA, OUT/VERSION becomes a site-packages folder with NVRTC and the
headers of the driver, the runtime and cuBLAS, as the wheels have them:
nvidia/cuda_nvrtc/lib for CUDA 12, nvidia/cu13/lib for 13. From CUDA 13.2 on there are
ptxas, cuobjdump and nvdisasm too. Without a VERSION it fetches the oldest and the newest
that effnet supports of each CUDA. cuBLAS numbers its versions by itself: VERSION:CUBLAS
names another one (13.2:13.3).

cuBLAS's libraries are downloaded (about half a gigabyte a version) and dropped, unless
--cublas-libraries keeps them. It needs pip and Linux on x86-64 or arm64.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import zipfile

CUBLAS = {"12.0": "12.0", "12.9": "12.9", "13.0": "13.0", "13.5": "13.10"}  # by CUDA's version
TOOLS = {"nvidia-cuda-nvcc": "ptxas", "nvidia-cuda-cuobjdump": "cuobjdump", "nvidia-cuda-nvdisasm": "nvdisasm"}


def requirements(cuda, cublas):
    """The packages of a version of CUDA, in pip's words."""
    major, minor = map(int, cuda.split("."))
    suffix = "-cu12" if major == 12 else ""
    names = ["nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cuda-nvcc" if major == 12 else "nvidia-cuda-crt"]  # the last for its headers
    packages = [f"{name}{suffix}=={cuda}.*" for name in names] + [f"nvidia-cublas{suffix}=={cublas}.*"]
    return packages + ([f"{name}=={cuda}.*" for name in TOOLS] if (major, minor) >= (13, 2) else [])


def unpack(wheel, folder, keep):
    """Unpacks a wheel's files that keep is true of, with their modes."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.is_dir() or not keep(info.filename):
                continue
            path = pathlib.Path(archive.extract(info, folder))
            if "/bin/" in info.filename:
                path.chmod(0o755)


def fetch(folder, cuda, cublas, libraries):
    for requirement in requirements(cuda, cublas):
        with tempfile.TemporaryDirectory() as temporary:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
            if subprocess.run(command + ["--dest", temporary, requirement]).returncode:
                sys.exit(f"pip has no {requirement}")
            (wheel,) = pathlib.Path(temporary).glob("*.whl")
            headers_only = "cublas" in requirement and not libraries

            def keep(name):
                unused = name.endswith(".a") or headers_only and "/lib/" in name
                return not unused and ("/bin/" not in name or name.split("/")[-1] in TOOLS.values())

            unpack(wheel, folder, keep)
            print(f"{folder}: {wheel.name}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("versions", nargs="*", default=list(CUBLAS), metavar="VERSION", help="12.0, or 13.2:13.3 with cuBLAS's own")
    parser.add_argument("--cublas-libraries", action="store_true", help="keep cuBLAS's libraries too")
    args = parser.parse_args()
    for version in args.versions:
        cuda, _, cublas = version.partition(":")
        cublas = cublas or CUBLAS.get(cuda)
        if not cublas:
            sys.exit(f"which cuBLAS is CUDA {cuda}'s? Say {cuda}:CUBLAS, as in 13.2:13.3 (known: {', '.join(CUBLAS)})")
        fetch(args.out / cuda, cuda, cublas, args.cublas_libraries)


if __name__ == "__main__":
    main()
