"""Runs the command `wdr serve` without the rest of `wdr`."""

from serving.model_server.command import serve

serve(prog_name="python -m serving.model_server")
