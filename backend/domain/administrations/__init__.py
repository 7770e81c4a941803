"""The MAR: doses given, and the board of what is due."""
