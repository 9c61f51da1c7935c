"""Is imported by the process that forks workers (`pipeline.beam_workers.forked`), and by no other.

At the end of that process it removes the folder of its socket, which a process that asked for workers and was killed
leaves behind.
"""

from __future__ import annotations

import atexit
import os
import shutil

atexit.register(shutil.rmtree, os.environ["WDR_SOCKET_FOLDER"], ignore_errors=True)
