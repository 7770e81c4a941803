"""What the people of a hospital do all day, for load/locustfile.py. Needs locust and nothing of ValMed's own code."""
