"""`python -m pipeline.cli` is `wdr`."""

from pipeline.cli.main import main

main()
