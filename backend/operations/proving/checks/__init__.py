"""What must hold after a proof, subject by subject; checker.py asks all of it. Each function tells what breaks it."""
