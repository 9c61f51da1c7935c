"""A process that logs requests and prints each one's id once it would be answered, until it is killed.

python -m tests.serving.serving_log.writing FOLDER SECONDS-BETWEEN-REQUESTS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from serving.serving_log.log import ServingLog
from tests.serving.serving_log.logs import log_one, settings


def main(folder: Path, pause: float) -> None:
    """Logs until it is killed; files are small, so that kills come while one is sealed too."""
    with ServingLog(settings(folder, file_bytes=20_000, write_seconds=0.02)) as log:
        number = 0
        while True:
            os.write(1, f"{log_one(log, number)}\n".encode())
            number += 1
            time.sleep(pause)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
