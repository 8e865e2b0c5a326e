"""The former module of the classes for encoders of your own, which are now names of `xprobe`."""

from xprobe.base.moved import moved

__getattr__ = moved(__name__, {"Encoder": "xprobe:Encoder", "plain_spec": "xprobe:plain_spec"})
