"""The packages of a wheel; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["medcl", "medcl.*"]), "medcl.datasets", "medcl.pipelines"])
