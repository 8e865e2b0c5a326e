"""The former place of what an own encoder is made of; today these are names of `xprobe`."""

from xprobe.base.moved import moved

__getattr__ = moved(__name__, {"Encoder": "xprobe:Encoder", "plain_spec": "xprobe:plain_spec"})
