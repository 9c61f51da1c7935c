"""Labels of a span's last impressions, completed by the installs of the next span."""
