"""xprobe: do AI-generated images help image recognition?"""

__version__ = "0.1.0"
