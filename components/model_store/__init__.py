"""The serving folder: versions with their manifests, pins, retention, rollback and the models behind them."""
