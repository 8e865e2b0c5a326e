"""Write the JSON Schemas beside this file: ``python docs/schema/generate.py``."""

from __future__ import annotations

import json
from pathlib import Path

from xprobe.base import documents
from xprobe.base.documents import Document
from xprobe.cli import outputs
from xprobe.design import power
from xprobe.features import records
from xprobe.generation import answers as answers_of_generate
from xprobe.images.adopted import adopt
from xprobe.report import write
from xprobe.results import answers, distance, removal, study
from xprobe.study import beside, estimate

# By the name of the file: what each command prints with --json, then files that commands leave.
DOCUMENTS: dict[str, type[Document]] = {
    "scan": outputs.Scan,
    "adopt": adopt.Adopted,
    "encoders": outputs.Encoders,
    "encoders-fetch": outputs.Fetched,
    "import-xbd": outputs.ImportXbd,
    "plan": power.Plan,
    "generate": answers_of_generate.Generated,
    "generate-dry-run": answers_of_generate.GeneratePlan,
    "embed": outputs.Embed,
    "import-features": outputs.ImportFeatures,
    "sweep": answers.SweepAnswer,
    "sweep-dry-run": estimate.DryRun,
    "distance": distance.Distances,
    "report": write.Written,
    "compare": beside.Beside,
    "studies": outputs.Studies,
    "studies-remove": removal.Removed,
    "demo": answers.DemoAnswer,
    "store-info": outputs.StoreInfo,
    "store-verify": outputs.StoreVerify,
    "store-merge": outputs.StoreMerge,
    "store-export": outputs.StoreExport,
    "store-gc": outputs.StoreGc,
    "study": study.Study,
    "format": records.Marker,
    "encoder": records.EncoderRecord,
    "receipt": records.Receipt,
    "agreement": records.Agreement,
    "text-features": records.TextRecord,
    "texts": records.TextsRecord,
}


def texts() -> dict[str, str]:
    """Return the text of every schema by the name of its file."""
    return {
        f"{name}.json": json.dumps(documents.schema(kind), indent=1, ensure_ascii=False) + "\n"
        for name, kind in DOCUMENTS.items()
    }


if __name__ == "__main__":
    for name, text in texts().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
