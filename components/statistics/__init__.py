"""StatisticsGen's executor: TFDV's statistics of examples, computed from columns and without Beam."""
