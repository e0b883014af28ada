"""Diffusion Policy: its denoising path, and chunks from other noise."""
