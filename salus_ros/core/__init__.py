"""The vocabulary shared by everything else; pure numpy, imports nothing of ours."""
