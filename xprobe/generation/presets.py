"""Names that are known before anything is read, for help and completion."""

PROMPTS = (
    "disasters-en", "disasters-zh", "events-en", "events-zh", "study", "null", "null-zh",
    "scenes-en", "scenes-zh", "captions",
)  # fmt: skip
"""Names of the built-in prompts of `generate`: files in data/prompts/edits and texts."""
