"""faucet-stream, a program in Rust: a pipeline from Kafka to PostgreSQL's columns by COPY; at least once.

Its exactly once writes with `INSERT`. A page that is not full waits for the end of the pipeline, so that the number of
orders has to be a multiple of the page.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.peers.orders import LZ4_TOPIC, brokers, url

_PAGE = 5_000
_IDLE_SECONDS = 3_600


def copy(group: str) -> None:
    """Become the program, until it is ended."""
    folder = Path(os.environ["SESAC_HOME"]) / group
    folder.mkdir(parents=True)
    pipeline = folder / "pipeline.json"
    pipeline.write_text(json.dumps({"version": 1, "pipeline": _pipeline(group, folder)}))
    os.execvp("faucet", ["faucet", "run", str(pipeline)])


def _pipeline(group: str, folder: Path) -> dict[str, Any]:
    """Fields of `order` are put on top, as its columns are top-level fields; what has no column is ignored."""
    return {
        "source": {
            "type": "kafka",
            "config": {
                "brokers": brokers(),
                "topics": [LZ4_TOPIC],
                "group_id": group,
                "auto_offset_reset": "earliest",
                "idle_timeout": _IDLE_SECONDS,
                "batch_size": _PAGE,
            },
        },
        "transforms": [
            {"type": "select", "config": {"fields": ["value"]}},
            {"type": "flatten", "config": {"separator": "."}},
            {"type": "rename_keys", "config": {"pattern": r"^value\.order\.", "replacement": ""}},
        ],
        "sink": {
            "type": "postgres",
            "config": {
                "connection_url": url(),
                "table_name": "orders",
                "column_mapping": "auto_map",
                "write_method": "copy",
                "batch_size": 0,
            },
        },
        "state": {"type": "file", "config": {"path": str(folder / "state")}},
    }
