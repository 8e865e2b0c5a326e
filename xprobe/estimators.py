"""The former module of the heads as scikit-learn estimators, which are now names of `xprobe`."""

from xprobe.base.moved import moved

__getattr__ = moved(
    __name__,
    {
        "LogisticHead": "xprobe:LogisticHead",
        "LogisticHeadCV": "xprobe:LogisticHeadCV",
        "RidgeHeadCV": "xprobe:RidgeHeadCV",
        "ALPHAS": "xprobe.learners.estimators:ALPHAS",
        "C_RULES": "xprobe.learners.estimators:C_RULES",
    },
)
