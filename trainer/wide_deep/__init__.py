"""The Wide & Deep model: its weight tables, its layers, and the values that training hides from it."""
