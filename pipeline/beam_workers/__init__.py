"""Beam's own runner over workers in processes: those of pools on named hosts, or forked on this machine."""
