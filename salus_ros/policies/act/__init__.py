"""ACT: attention of its decoder, and chunks for other latents of its CVAE."""
