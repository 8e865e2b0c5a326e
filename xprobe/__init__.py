"""xprobe: do AI-generated images help image recognition?

Python code may rely on the names below, which docs/reference/python.md explains. Each is loaded
when it is first used, so that ``import xprobe`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xprobe.base.errors import XprobeError
    from xprobe.design.config import Grid, SweepConfig
    from xprobe.design.power import plan
    from xprobe.distance.run import measure_domain as measure
    from xprobe.encoders.base import Encoder, plain_spec
    from xprobe.encoders.load import load as load_encoder
    from xprobe.engine.execution import Execution
    from xprobe.features.config import EmbedConfig
    from xprobe.features.embed import embed_all as embed
    from xprobe.features.store import Store
    from xprobe.images.config import DataConfig
    from xprobe.images.read import read
    from xprobe.learners.estimators import LogisticHead, LogisticHeadCV, RidgeHeadCV
    from xprobe.learners.finetune.recipe import Recipe
    from xprobe.report.write import write_report
    from xprobe.study.beside import compare_results
    from xprobe.study.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "DataConfig", "EmbedConfig", "Encoder", "Execution", "Grid", "LogisticHead", "LogisticHeadCV",
    "Recipe", "RidgeHeadCV", "Store", "SweepConfig", "XprobeError", "compare_results", "embed",
    "load_encoder", "measure", "plain_spec", "plan", "read", "sweep", "write_report",
]  # fmt: skip

# The module and attribute that each public name is loaded from.
_PLACES = {
    "read": "xprobe.images.read:read",
    "DataConfig": "xprobe.images.config:DataConfig",
    "embed": "xprobe.features.embed:embed_all",
    "EmbedConfig": "xprobe.features.config:EmbedConfig",
    "Store": "xprobe.features.store:Store",
    "load_encoder": "xprobe.encoders.load:load",
    "Encoder": "xprobe.encoders.base:Encoder",
    "plain_spec": "xprobe.encoders.base:plain_spec",
    "SweepConfig": "xprobe.design.config:SweepConfig",
    "Grid": "xprobe.design.config:Grid",
    "Recipe": "xprobe.learners.finetune.recipe:Recipe",
    "Execution": "xprobe.engine.execution:Execution",
    "sweep": "xprobe.study.sweep:sweep",
    "compare_results": "xprobe.study.beside:compare_results",
    "plan": "xprobe.design.power:plan",
    "measure": "xprobe.distance.run:measure_domain",
    "write_report": "xprobe.report.write:write_report",
    "LogisticHead": "xprobe.learners.estimators:LogisticHead",
    "LogisticHeadCV": "xprobe.learners.estimators:LogisticHeadCV",
    "RidgeHeadCV": "xprobe.learners.estimators:RidgeHeadCV",
    "XprobeError": "xprobe.base.errors:XprobeError",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
