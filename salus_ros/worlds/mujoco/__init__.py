"""The built-in world's engine: MuJoCo."""
