"""What puts ValMed under load: the bench, the baseline it is compared with, Locust's scenarios."""
