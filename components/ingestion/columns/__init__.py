"""Rules of the kinds of columns: from raw values to typed values, or to a rejected row."""
