"""The words of a report that a newcomer asks for."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("real-only", "Trained on the real images alone: what everything else is compared with."),
    ("1:r", "A mix of r synthetic images for each real one of a class, all of one generator."),
    ("1:r real", "As many further real images in place of the synthetic ones: the best control."),
    (
        "1:r null edit",
        "The real images again in place of the synthetic ones, passed through the generator with "
        "the prompt to return them unchanged: what its fingerprint (codec, watermark) alone does. "
        "The mix less these is what is left without it.",
    ),
    ("synthetic-only", "Trained on synthetic images alone; tested on real ones, as always."),
    (
        "family",
        "Comparisons that are judged together: the mixes of one encoder, head and generator at all "
        "ratios. If synthetic images change nothing, one family in twenty says that they do.",
    ),
    (
        "simultaneous interval",
        "It holds for all comparisons of its family at once. Where it excludes 0 the verdict is "
        "“helps” or “hurts”.",
    ),
    (
        "study-wide p",
        "The p of a comparison after looking at all mixes of all studies of the results folder. "
        "What is at most .05 may be claimed; a headline claims nothing else.",
    ),
    (
        "detectable",
        "The smallest difference that would have been detected in four of five such studies.",
    ),
    (
        "equivalent",
        "The difference is smaller than a margin that was chosen before (--margin).",
    ),
    (
        "not separable from training longer",
        "A fine-tune that beats real-only, and loses against real images trained for as many "
        "steps, or the reverse.",
    ),
    ("floor", "An encoder without learned weights: what a study finds with almost no features."),
    ("estimand", "What a difference is the mean over: test images, or groups such as events."),
)
"""Terms and what they mean, in the order of reading."""
