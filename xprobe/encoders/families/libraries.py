"""Libraries of networks, imported so that they ask nothing and draw no progress bars."""

from __future__ import annotations

from typing import Any


def import_transformers() -> Any:
    """Return transformers, without progress bars, log lines and questions.

    It asks on stdin whether it may run the code that a folder brings, for 15 s; with no time to
    wait it refuses, wherever it is called from.
    """
    import transformers
    from transformers import dynamic_module_utils

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    return transformers
