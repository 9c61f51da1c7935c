"""Entry point: `python -m pipeline.cli` runs `wdr`."""

from pipeline.cli.main import main

main()
