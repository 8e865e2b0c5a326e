"""Predictions → verdicts: pure statistics, arrays in and values out."""

from xprobe.base.moved import moved

__getattr__ = moved(__name__, {"compare": "xprobe.verdict.family:compare"})
