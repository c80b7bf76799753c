from setuptools import Extension, setup

setup(ext_modules=[Extension("phases", ["phases.c"])])
