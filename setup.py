"""For tools that look for this file: the package's metadata is in pyproject.toml."""

from setuptools import setup

setup()
